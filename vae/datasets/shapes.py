"""Shapes, 64 x 64: filled white squares on black."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lso_bench.vae.datasets import ImageSource, Split

LARGEST = 20  # pixels a side
COLUMN = 32  # of every square's left edge
REPEATS = 10  # of each training image in an epoch


@dataclass(frozen=True)
class Shapes(ImageSource):
    """White squares with sides of 1 to 20 pixels on black, one at every height of the page, in one column: 1,090.

    Source: Tripp, Daxberger & Hernández-Lobato 2020, "Sample-Efficient Optimization in the Latent Space of Deep
    Generative Models via Weighted Retraining" (arXiv 2006.09191), shapes task. Sides, page, column and the ten copies
    of each image are those of their public data. Here the distinct images are split before they are copied: in
    their 10,900 nearly every validation image is a copy of a training image.
    """

    ink = True
    size = 64

    def images(self, folder: Path) -> NDArray[np.uint8]:
        places = [(side, row) for side in range(1, LARGEST + 1) for row in range(self.size - side + 1)]
        pages = np.zeros((len(places), self.size, self.size), np.uint8)
        for page, (side, row) in zip(pages, places, strict=True):
            page[row : row + side, COLUMN : COLUMN + side] = 255
        return pages

    def split(self, count: int, dealt: torch.Generator) -> Split:
        train, valid, test = super().split(count, dealt)
        return train.repeat(REPEATS), valid, test
