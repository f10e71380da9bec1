"""How far the ink of an image agrees with its mirror image."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class Symmetry(Task):
    """Ink in both the image and its mirror image, as a share of the ink in either: intersection over union, in [0, 1].

    Mirrored at the vertical through the middle of the page. 1 is a symmetric image, 0 an empty page or ink without a
    counterpart. Ink is what exceeds 0.5, so that a grey blur does not count as agreement; hence no gradient. Source:
    ours; the index is that of Jaccard 1912.
    """

    data: str = "glyphs"
    optimum = 1.0
    differentiable = False

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        ink, mirrored = x > 0.5, x.flip(-1) > 0.5
        both, either = (ink & mirrored).sum((-3, -2, -1)), (ink | mirrored).sum((-3, -2, -1))
        return both / either.clamp(min=1)
