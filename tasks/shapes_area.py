"""The area of what is white: the shapes task of Tripp et al. 2020 (arXiv 2006.09191)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class ShapesArea(Task):
    """The sum of a page's pixel values, in pixels; 4096 is a white page, and the training images have at most 400.

    `rounded`: every pixel counts as 0 or 1, as in that paper's code, which leaves no gradient.
    """

    rounded: bool = False
    data = "shapes"
    optimum = 4096.0

    @property
    def differentiable(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return not self.rounded

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        return (x.round() if self.rounded else x).sum(dim=(-3, -2, -1))
