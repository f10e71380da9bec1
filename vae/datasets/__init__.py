"""One data set a file.

To add one, save a file here with one subclass of `Source`, a frozen dataclass:

- its fields are the settings (`--data name:field=value`);
- `images(folder)` gives all images, in an order that never changes;
- the file's name is the data set's name.

`lso-bench list data` then shows it, and the tests check it.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, get_args

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from lso_bench.plugins.registry import Registry
from lso_bench.vae.architectures import Likelihood

Split = tuple[Int[Tensor, " n"], Int[Tensor, " v"], Int[Tensor, " t"]]
Classes = tuple[tuple[str, ...], Int[Tensor, " n"]]  # names of the classes, and the class of each image


class Source(ABC):
    """Source of the images of a data set; a frozen dataclass whose fields are its settings."""

    size: int = 28  # pixels a side; a multiple of 4
    likelihood: Likelihood = "bernoulli"  # of a pixel; Bernoulli: images are binarised; Gaussian: they stay grey
    published: ClassVar[str] = ""  # expected sha256 of the pixels of all images, if they are published data

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return 1, self.size, self.size

    @abstractmethod
    def images(self, folder: Path) -> UInt8[np.ndarray, "n h w"]:
        """Return all images, grey, 0..255, ink = 255; `folder` holds data sets that need files.

        Raises:
            UnusableError: files are missing and cannot be downloaded, or are damaged.
        """

    def split(self, count: int, dealt: torch.Generator) -> Split:
        """Split `count` images into train, validation and test (default: 80, 10, 10 percent, shuffled by `dealt`)."""
        tenth = count // 10
        train, valid, test = torch.randperm(count, generator=dealt).split([count - 2 * tenth, tenth, tenth])
        return train, valid, test

    def classes(self, folder: Path) -> Classes | None:
        """Return the names of the classes and the class of each image, in order; None (the default) if unknown.

        Raises:
            UnusableError: files are missing or damaged.
        """
        return None


def _image_folder(path: Path) -> Source:
    from lso_bench.vae.image_folder import ImageFolder  # which imports this module

    return ImageFolder(path)


def _check(origin: Source) -> None:
    """Refuse a size or likelihood that no model has.

    Raises:
        ValueError: names it.
    """
    if origin.size % 4 or origin.size < 4:
        raise ValueError(f"wanted a size of 4, 8, 12, ... pixels a side, got {origin.size}.")
    if origin.likelihood not in get_args(Likelihood):
        raise ValueError(f"wanted a likelihood of {get_args(Likelihood)}, got {origin.likelihood!r}.")


DATASETS = Registry("data set", Source, __name__, "lso_bench.datasets", from_folder=_image_folder, check=_check)
