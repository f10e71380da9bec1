"""Data set of a user's folder of images."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.sanitize import remark
from lso_bench.plugins.notation import name_of
from lso_bench.vae.datasets import ImageSource

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp")
FEWEST = 100  # images; of fewer, a tenth is too small a test set
LARGEST = 256 << 20  # bytes of an image file
SEEN = 20  # files looked at for colour
CHECKED = 32  # pixels a side at which they are looked at
TINGE = 16  # difference of the channels of a pixel from which on it is in colour
BLACK, WHITE, SHADES = 25, 230, 0.25  # levels between which a pixel is a shade, and the share of shades that is named
NAMED = 5  # most left-out files that a message names


@dataclass(frozen=True)
class ImageFolder(ImageSource):
    """All images in a folder and those below it, grey, each resized whole to a square by area; white is 1.

    What is transparent lies on white. Files that cannot be read are named on stderr and left out.
    """

    path: Path
    size: int = 28  # pixels a side; a multiple of 4
    likelihood: str = "bernoulli"

    def images(self, folder: Path) -> NDArray[np.uint8]:
        files, read, unreadable = image_files(self.path), [], []
        for file in files:
            try:
                read.append(_read(file, self.size))
            except Exception as error:  # decoders of damaged files may raise anything
                unreadable.append(
                    f"{file.relative_to(self.path)} ({' '.join(str(error).split()) or type(error).__name__})"
                )
        if unreadable:
            ellipsis = ", ..." * (len(unreadable) > NAMED)
            remark(
                f"{len(unreadable)} of {len(files)} images in {self.path} are left out: "
                f"{', '.join(unreadable[:NAMED])}{ellipsis}"
            )
        if len(read) < FEWEST:
            raise UnusableError(f"{self.path}: wanted at least {FEWEST} readable images, got {len(read)}.")
        images = np.stack(read)
        for line in filter(None, (self._colour_note(files[:SEEN]), self._shades_note(images))):
            remark(line)
        return images

    def _colour_note(self, files: Sequence[Path]) -> str:
        """Return a line if some of these files are in colour, which is not kept."""
        coloured = sum(map(_is_coloured, files))
        if not coloured:
            return ""
        return (
            f"{self.path}: {coloured} of the first {len(files)} images are in colour, and are read as grey, "
            f"{self.size} x {self.size}; for colour write a data set (docs/bring-your-own.md, Images in colour)"
        )

    def _shades_note(self, images: NDArray[np.uint8]) -> str:
        """Return a line if a Bernoulli is to take shades as chances."""
        shades = float(np.mean((images > BLACK) & (images < WHITE)))
        if name_of(self.likelihood) != "bernoulli" or shades < SHADES:
            return ""
        return (
            f"{self.path}: {shades:.0%} of the pixels are shades, and likelihood=bernoulli takes them as chances of "
            "white, so that a model sees salt and pepper; for shades say likelihood=gaussian, and --arch conv or mlp"
        )


def image_files(folder: Path) -> list[Path]:
    """Return the paths of images by their endings, and of folders that cannot be listed, sorted; hidden ones do not
    count.
    """
    unlisted: list[OSError] = []
    names = [
        Path(parent, n)
        for parent, folders, files in os.walk(folder, onerror=unlisted.append)
        for n in (*folders, *files)
    ]
    images = {f for f in names if f.suffix.lower() in ENDINGS and not f.name.startswith(".")}
    return sorted(images | {Path(e.filename) for e in unlisted}, key=lambda f: os.fsencode(f.relative_to(folder)))


def fingerprint(folder: Path) -> str:
    """Return eight hexadecimal digits that change with the names and contents of the images, not with the folder's
    path.
    """
    digest = hashlib.sha256()
    for file in image_files(folder):
        digest.update(os.fsencode(file.relative_to(folder)) + b"\n" + _digest(file))
    return digest.hexdigest()[:8]


def _digest(file: Path) -> bytes:
    """Return the sha256 of a file's content; empty for an unreadable file, which the data set leaves out."""
    try:
        return bytes.fromhex(safe_read.sha256(file, LARGEST))
    except (OSError, ValueError):
        return b""


def _is_coloured(file: Path) -> bool:
    """Return whether an image has pixels that are not grey; False for one that cannot be read."""
    try:
        with safe_read.opened(file, LARGEST) as content, Image.open(content) as opened:
            pixels = np.asarray(opened.convert("RGB").resize((CHECKED, CHECKED), Image.Resampling.BOX)).astype(int)
    except Exception:  # decoders of damaged files may raise anything; it is left out, and named
        return False
    return bool(np.ptp(pixels, axis=2).max() > TINGE)


def _read(file: Path, size: int) -> NDArray[np.uint8]:
    if file.is_dir():
        os.scandir(file).close()  # raises the reason why it cannot be listed
    with safe_read.opened(file, LARGEST) as content, Image.open(content) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"wanted 8 bits a channel, got mode {image.mode}")
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return np.asarray(image.convert("L").resize((size, size), Image.Resampling.BOX))
