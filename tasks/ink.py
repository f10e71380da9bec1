"""How much of the page is inked."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class Ink(Task):
    """Minus the distance of the inked share of the page to `target`.

    Every image whose mean brightness is `target` reaches the optimum, 0. Source: ours, the simplest there is.
    """

    target: float = 0.15  # share of the page, in [0, 1]
    data: str = "glyphs"
    optimum = 0.0

    def __post_init__(self):
        if not 0 <= self.target <= 1:
            raise ValueError(f"wanted a target from 0 to 1, got {self.target}")

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        return -(x.mean(dim=(-3, -2, -1)) - self.target).abs()
