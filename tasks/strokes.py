"""In how many pieces the ink of an image is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import label
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class Strokes(Task):
    """Minus the distance of the number of connected pieces of ink to `target`; 0 is best.

    Ink is what exceeds 0.5; pixels that touch by a side or a corner belong together. A count, so there is no gradient,
    and a search finds level ground. Source: ours, on `scipy.ndimage.label`.
    """

    target: int = 3  # pieces
    data: str = "glyphs"
    optimum = 0.0
    differentiable = False

    def __post_init__(self):
        if self.target < 0:
            raise ValueError(f"wanted a target of 0 pieces or more, got {self.target}")

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        pages = (x > 0.5).flatten(0, 2).cpu().numpy()  # (k n, h, w)
        pieces = [label(page, np.ones((3, 3)))[1] for page in pages]  # pyright: ignore[reportIndexIssue]
        return -(x.new_tensor(pieces) - self.target).abs().unflatten(0, x.shape[:2])
