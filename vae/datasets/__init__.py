"""One data set a file.

To add one, save a file here with one subclass of `Source`, a frozen dataclass:

- its fields are the settings (`--data name:field=value`);
- `images(folder)` gives all images, in an order that never changes;
- the file's name is the data set's name.

`lso-bench list data` then shows it, and the tests check it.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from lso_bench.vae.networks import Likelihood

Split = tuple[Int[Tensor, " n"], Int[Tensor, " v"], Int[Tensor, " t"]]
Classes = tuple[tuple[str, ...], Int[Tensor, " n"]]  # their names, and which of them each image is of


class Source(ABC):
    """Where the images of a data set come from; a frozen dataclass whose fields are its settings."""

    size: int = 28  # pixels a side; a multiple of 4
    likelihood: Likelihood = "bernoulli"  # of a pixel; Bernoulli: images are binarised, Gaussian: they stay grey
    published: ClassVar[str] = ""  # sha256 of the pixels of all images, where others have the very same

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return 1, self.size, self.size

    @abstractmethod
    def images(self, folder: Path) -> UInt8[np.ndarray, "n h w"]:
        """All images, grey, 0..255, ink = 255; `folder` is where data sets lie, for one that needs files.

        Raises:
            UnusableError: files missing and not to be downloaded, or damaged.
        """

    def split(self, count: int, dealt: torch.Generator) -> Split:
        """Which of `count` images are to train, validate and test on (default: 80, 10 and 10 percent, shuffled)."""
        tenth = count // 10
        train, valid, test = torch.randperm(count, generator=dealt).split([count - 2 * tenth, tenth, tenth])
        return train, valid, test

    def classes(self, folder: Path) -> Classes | None:
        """What the images are of, in their order; None where nobody says (the default).

        Raises:
            UnusableError: files missing or damaged.
        """
        return None
