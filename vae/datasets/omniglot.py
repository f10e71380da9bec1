"""Omniglot, 28 x 28: handwritten characters of 50 alphabets."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.cache import cached
from lso_bench.files.download import download
from lso_bench.vae.datasets import Classes, ImageSource, Split

HALVES = ("images_background", "images_evaluation")
LARGEST = 64 << 20  # bytes of an archive; the larger one has 9 MiB
LARGEST_DRAWING = 64 << 10  # bytes of a drawing; they have less than 1 KiB


@dataclass(frozen=True)
class Omniglot(ImageSource):
    """Handwritten characters: 32,460, by alphabet, character and drawer, background set first.

    Source: Lake, Salakhutdinov & Tenenbaum 2015. Split 23,000 / 1,345 / 8,115, the first two as in this literature.
    Drawings are shuffled, so all parts have drawings of the same characters. The 28 x 28 pixels are an average by area
    of 105 x 105, not the ready set of He et al. 2019. benchmarks/omniglot.py measures what both mean.
    """

    ink = True
    published = "8167dffec9d3ee72541f00f4f120b260f19aebf40a2a4c142dfc5a700a187882"

    def images(self, folder: Path) -> NDArray[np.uint8]:
        return cached("omniglot-28", lambda: _read(folder / "omniglot-py"), self.published)

    def split(self, count: int, dealt: torch.Generator) -> Split:
        train, valid, test = torch.randperm(count, generator=dealt).tensor_split([23_000, 24_345])
        return train, valid, test

    def classes(self, folder: Path) -> Classes:
        """Return the 50 alphabets, in the order of the archives' folders."""
        alphabets = [
            (*Path(name).parts[-3:], "")[0] for half in HALVES for name in _names(folder / "omniglot-py", half)
        ]
        names = tuple(dict.fromkeys(alphabets))
        if (len(alphabets), len(names)) != (32_460, 50):
            raise UnusableError(
                f"Omniglot in {folder} is incomplete: {len(alphabets):,} drawings of {len(names)} alphabets."
            )
        index = {alphabet: i for i, alphabet in enumerate(names)}
        return names, torch.tensor([index[alphabet] for alphabet in alphabets])


def _read(folder: Path) -> NDArray[np.uint8]:
    if not all((folder / half).is_dir() or (folder / f"{half}.zip").exists() for half in HALVES):
        _download(folder.parent)
    images = [_shrink(path, png) for half in HALVES for path, png in _drawings(folder, half)]
    if len(images) != 32_460:
        raise UnusableError(f"Omniglot in {folder} is incomplete: wanted 32,460 drawings, got {len(images):,}.")
    return np.stack(images)


def _drawings(folder: Path, half: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each PNG of one half, from its folder or else its archive."""
    if (folder / half).is_dir():
        for name in _names(folder, half):
            with _reading(folder / name):
                yield str(folder / name), safe_read.content(folder / name, LARGEST_DRAWING)
        return
    archive = folder / f"{half}.zip"
    with _reading(archive), safe_read.opened(archive, LARGEST) as file, zipfile.ZipFile(file) as z:
        for name in sorted(n for n in z.namelist() if n.endswith(".png")):
            if z.getinfo(name).file_size > LARGEST_DRAWING:
                raise ValueError(f"{name} is no drawing of Omniglot's")
            yield f"{archive}:{name}", z.read(name)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any error of reading `path` into one UnusableError that names it."""
    try:
        yield
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnusableError(f"{path} is damaged ({reason}); delete it to download it again.") from error


def _names(folder: Path, half: str) -> list[str]:
    """Return the paths of the PNGs of one half, sorted."""
    if (folder / half).is_dir():
        return sorted(p.relative_to(folder).as_posix() for p in (folder / half).rglob("*.png"))
    archive = folder / f"{half}.zip"
    with _reading(archive), safe_read.opened(archive, LARGEST) as file, zipfile.ZipFile(file) as z:
        return sorted(n for n in z.namelist() if n.endswith(".png"))


def _shrink(path: str, png: bytes) -> NDArray[np.uint8]:
    """Average ink = 255 by area to 28 x 28, in whole numbers so that every machine gives the same bytes."""
    try:
        paper = np.asarray(Image.open(io.BytesIO(png)).convert("1"))
    except (UnidentifiedImageError, OSError) as error:
        raise UnusableError(f"{path} is not a readable image ({error}); delete it to download it again.") from error
    if paper.shape != (105, 105):
        raise UnusableError(f"{path}: wanted 105 x 105 pixels, got {paper.shape[1]} x {paper.shape[0]}.")
    shares = _AREA @ (~paper).astype(float) @ _AREA.T  # of 225 in all; exact, and ten times as fast as integers
    return ((510 * shares + 225) // 450).astype(np.uint8)


def _area() -> NDArray[np.float64]:
    """Compute (28, 105) weights: the quarters of each of 105 pixels in each of 28, every row 15 in all."""
    quarters = np.arange(105 * 4)
    weights = np.zeros((28, 105))
    np.add.at(weights, (quarters // 15, quarters // 4), 1)
    return weights


_AREA = _area()


def _download(folder: Path) -> None:
    files = "omniglot-py/images_background.zip and images_evaluation.zip"
    backgrounds = (True, False)
    download(
        "omniglot", folder, files, lambda d: [d.Omniglot(str(folder), background=b, download=True) for b in backgrounds]
    )
