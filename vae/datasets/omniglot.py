"""Omniglot, 28 x 28: handwritten characters of 50 alphabets."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vae.cache import cached
from vae.datasets import Source, Split
from vae.download import download
from vae.errors import UnusableError


@dataclass(frozen=True)
class Omniglot(Source):
    """32,460 handwritten characters, by alphabet, character and drawer, background set first.

    Source: Lake, Salakhutdinov & Tenenbaum 2015. Split 23,000 / 1,345 / 8,115, the first two as in this literature.
    """

    published = "8167dffec9d3ee72541f00f4f120b260f19aebf40a2a4c142dfc5a700a187882"

    def images(self, folder: Path) -> NDArray[np.uint8]:
        return cached("omniglot-28", lambda: _read(folder / "omniglot-py"))

    def split(self, count: int, dealt: torch.Generator) -> Split:
        train, valid, test = torch.randperm(count, generator=dealt).tensor_split([23_000, 24_345])
        return train, valid, test


def _read(folder: Path) -> NDArray[np.uint8]:
    sets = ("images_background", "images_evaluation")
    if not all((folder / s).is_dir() or (folder / f"{s}.zip").is_file() for s in sets):
        _download(folder.parent)
    images = [_shrink(path, png) for s in sets for path, png in _drawings(folder, s)]
    if len(images) != 32_460:
        raise UnusableError(f"Omniglot in {folder} is incomplete: wanted 32,460 drawings, got {len(images):,}.")
    return np.stack(images)


def _drawings(folder: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each PNG of one half of Omniglot, by name, from its folder or else its archive."""
    if (folder / part).is_dir():
        for path in sorted((folder / part).rglob("*.png"), key=lambda p: p.relative_to(folder).as_posix()):
            yield str(path), path.read_bytes()
        return
    archive = folder / f"{part}.zip"
    try:
        with zipfile.ZipFile(archive) as z:
            for name in sorted(n for n in z.namelist() if n.endswith(".png")):
                yield f"{archive}:{name}", z.read(name)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise UnusableError(f"{archive} is damaged ({error}); delete it to download it again.") from error


def _shrink(path: str, png: bytes) -> NDArray[np.uint8]:
    """Ink = 255, averaged by area to 28 x 28, in whole numbers so that every machine gives the same bytes."""
    try:
        paper = np.asarray(Image.open(io.BytesIO(png)).convert("1"))
    except (UnidentifiedImageError, OSError) as error:
        raise UnusableError(f"{path} is not a readable image ({error}); delete it to download it again.") from error
    if paper.shape != (105, 105):
        raise UnusableError(f"{path}: wanted 105 x 105 pixels, got {paper.shape[1]} x {paper.shape[0]}.")
    shares = _AREA @ (~paper).astype(np.int64) @ _AREA.T  # of 225 in all
    return ((510 * shares + 225) // 450).astype(np.uint8)


def _area() -> NDArray[np.int64]:
    """(28, 105): how many quarters of each of 105 pixels fall into each of 28, every row 15 in all."""
    quarters = np.arange(105 * 4)
    weights = np.zeros((28, 105), np.int64)
    np.add.at(weights, (quarters // 15, quarters // 4), 1)
    return weights


_AREA = _area()


def _download(folder: Path) -> None:
    files = "omniglot-py/images_background.zip and images_evaluation.zip"
    both = (True, False)
    download("omniglot", folder, files, lambda d: [d.Omniglot(str(folder), background=b, download=True) for b in both])
