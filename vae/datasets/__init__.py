"""One data set a file.

To add one, save a file here with one subclass of `ImageSource`, a frozen dataclass:

- its fields are the settings (`--data name:field=value`);
- `images(folder)` gives all images, in an order that never changes;
- the file's name is the data set's name.

Samples of another shape are a subclass of `Source`, with `shape` and `samples(folder)`.

`lso-bench list data` then shows it, and the tests check it.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.plugins.registry import Registry
from lso_bench.vae.likelihoods import LIKELIHOODS

Split = tuple[Int[Tensor, " n"], Int[Tensor, " v"], Int[Tensor, " t"]]
Classes = tuple[tuple[str, ...], Int[Tensor, " n"]]  # names of the classes, and the class of each sample


class Source(ABC):
    """Source of the samples of a data set; a frozen dataclass whose fields are its settings."""

    likelihood: str = "bernoulli"  # of an element of a sample, a name of `lso_bench.vae.likelihoods`
    published: ClassVar[str] = ""  # expected sha256 of the content of all samples, if they are published data

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one sample, as a model gets it."""

    @abstractmethod
    def samples(self, folder: Path) -> Shaped[np.ndarray, "n *stored"]:
        """Return all samples as they are stored; `folder` holds data sets that need files.

        They are grey levels 0..255 in uint8, numbers in float32, which stay as they are, or tokens in uint8.

        Raises:
            UnusableError: files are missing and cannot be downloaded, or are damaged.
        """

    def split(self, count: int, dealt: torch.Generator) -> Split:
        """Split `count` samples into train, validation and test (default: 80, 10, 10 percent, shuffled by `dealt`)."""
        tenth = count // 10
        train, valid, test = torch.randperm(count, generator=dealt).split([count - 2 * tenth, tenth, tenth])
        return train, valid, test

    def classes(self, folder: Path) -> Classes | None:
        """Return the names of the classes and the class of each sample, in order; None (the default) if unknown.

        Raises:
            UnusableError: files are missing or damaged.
        """
        return None


class ImageSource(Source):
    """Source of square grey images."""

    size: int = 28  # pixels a side; a multiple of 4

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, self.size, self.size

    @abstractmethod
    def images(self, folder: Path) -> UInt8[np.ndarray, "n h w"]:
        """Return all images, grey, 0..255, ink = 255; `folder` holds data sets that need files.

        Bernoulli images are binarised; Gaussian ones stay grey.

        Raises:
            UnusableError: files are missing and cannot be downloaded, or are damaged.
        """

    def samples(self, folder: Path) -> Shaped[np.ndarray, "n 1 h w"]:
        return self.images(folder)[:, None]


def _image_folder(path: Path) -> Source:
    from lso_bench.vae.image_folder import ImageFolder  # which imports this module

    return ImageFolder(path)


def _check(origin: Source) -> None:
    """Refuse a size or likelihood that no model has.

    Raises:
        ValueError: names it.
    """
    if isinstance(origin, ImageSource) and (origin.size % 4 or origin.size < 4):
        raise ValueError(f"wanted a size of 4, 8, 12, ... pixels a side, got {origin.size}.")
    try:
        LIKELIHOODS.build(origin.likelihood)
    except UsageError as error:
        raise ValueError(str(error)) from error


DATASETS = Registry("data set", Source, __name__, "lso_bench.datasets", from_folder=_image_folder, check=_check)
