"""MNIST, 28 x 28: handwritten digits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.download import download
from lso_bench.vae.datasets import Classes, ImageSource, Split


@dataclass(frozen=True)
class MNIST(ImageSource):
    """Handwritten digits: 70,000, the 60,000 training images first.

    Source: LeCun, Cortes & Burges. Split 55,000 / 5,000 of the training images, and the 10,000 test images.
    """

    ink = True
    published = "5b92582eb909c82a9bfefcd44acbe9233be3eb5b419a44cf211022ad2bf4bf96"

    def images(self, folder: Path) -> NDArray[np.uint8]:
        raw = folder / "MNIST" / "raw"
        files = [raw / f"{part}-images-idx3-ubyte" for part in ("train", "t10k")]
        if not all(f.exists() for f in files):
            names = "MNIST/raw/train-images-idx3-ubyte and t10k-images-idx3-ubyte"
            download("mnist", folder, names, lambda d: d.MNIST(str(folder), download=True))
        sizes = [60_000 * 784, 10_000 * 784]
        pixels = [_values(f, 16, size) for f, size in zip(files, sizes, strict=True)]
        if [p.size for p in pixels] != sizes:
            raise UnusableError(f"MNIST in {raw} is damaged: wanted 60,000 and 10,000 images of 784 bytes; delete it.")
        return np.concatenate(pixels).reshape(-1, 28, 28)

    def split(self, count: int, dealt: torch.Generator) -> Split:
        order = torch.randperm(60_000, generator=dealt)
        return order[:55_000], order[55_000:], torch.arange(60_000, count)

    def classes(self, folder: Path) -> Classes:
        """Return the digits."""
        raw = folder / "MNIST" / "raw"
        files, sizes = [raw / f"{part}-labels-idx1-ubyte" for part in ("train", "t10k")], [60_000, 10_000]
        parts = [_values(f, 8, size) for f, size in zip(files, sizes, strict=True)]
        if [p.size for p in parts] != sizes or max(p.max() for p in parts) > 9:
            raise UnusableError(f"The labels of MNIST in {raw} are damaged; delete it to download it again.")
        return tuple(map(str, range(10))), torch.from_numpy(np.concatenate(parts)).long()


def _values(file: Path, header: int, count: int) -> NDArray[np.uint8]:
    """Return the bytes of a file after its header of `header` bytes, at most `count`.

    Raises:
        UnusableError: it cannot be read, is not a regular file, or is larger.
    """
    try:
        return np.frombuffer(safe_read.content(file, header + count), np.uint8)[header:]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnusableError(
            f"No {file.name} of MNIST in {file.parent} ({reason}); delete it to download it again."
        ) from error
