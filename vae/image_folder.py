"""Data set of a user's folder of images."""

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.remarks import remark
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

    What is transparent lies on white. Files that cannot be read are named on stderr and left out. What is changed is
    said there, too.
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
        images = np.stack([image.pixels for image in read])
        differing = len({image.tobytes() for image in images})
        if differing == 1:
            raise UnusableError(
                f"{self.path}: wanted images that differ, got the same {len(images)} times{_on_white(read)}."
            )
        changes = self._size_note(read), self._transparency_note(read), self._copies_note(len(images), differing)
        shades = shades_note(self.path, images, self.likelihood)
        for line in filter(None, (*changes, self._colour_note(files[:SEEN]), shades)):
            remark(line)
        return images

    def _size_note(self, read: Sequence["_Image"]) -> str:
        """Return a line if images are resized."""
        resized = Counter(image.size for image in read if image.size != (self.size, self.size))
        if not resized:
            return ""
        sizes = ", ".join(f"{w} x {h}" for (w, h), _ in resized.most_common(NAMED)) + ", ..." * (len(resized) > NAMED)
        oblong = sum(count for (w, h), count in resized.items() if w != h)
        return (
            f"{self.path}: {resized.total()} of {len(read)} images ({sizes}) are resized to {self.size} x {self.size}"
            f"{f'; {oblong} of them are not square, and are distorted' * bool(oblong)}; for another size say size=64"
        )

    def _transparency_note(self, read: Sequence["_Image"]) -> str:
        """Return a line if images are transparent in places."""
        transparent, lost = sum(image.is_transparent for image in read), sum(image.is_lost for image in read)
        if not transparent:
            return ""
        return (
            f"{self.path}: {transparent} of {len(read)} images are transparent in places, which are read as white"
            f"{f'; {lost} of them are plain on it: put white ink on black before' * bool(lost)}"
        )

    def _copies_note(self, count: int, differing: int) -> str:
        """Return a line if images are equal, as they are read."""
        if differing == count:
            return ""
        return (
            f"{self.path}: {count - differing} of {count} images are copies of others, as they are read; the training "
            "and the test part may share them"
        )

    def _colour_note(self, files: Sequence[Path]) -> str:
        """Return a line if some of these files are in colour, which is not kept."""
        coloured = sum(map(_is_coloured, files))
        if not coloured:
            return ""
        return (
            f"{self.path}: {coloured} of the first {len(files)} images are in colour, and are read as grey, "
            f"{self.size} x {self.size}; for colour write a data set (docs/bring-your-own.md, Images in colour)"
        )


def shades_note(path: Path, images: NDArray[np.uint8], likelihood: str) -> str:
    """Return a line if a Bernoulli is to take shades of images as chances."""
    shades = float(np.mean((images > BLACK) & (images < WHITE)))
    if name_of(likelihood) != "bernoulli" or shades < SHADES:
        return ""
    return (
        f"{path}: {shades:.0%} of the pixels are shades, and likelihood=bernoulli takes them as chances of white, so "
        "that a model sees salt and pepper; for shades say likelihood=gaussian, and --arch conv or mlp"
    )


class _Image(NamedTuple):
    """An image of a folder as it is read, and what was changed."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]  # pixels in the file: width, height
    is_transparent: bool = False  # in places
    is_lost: bool = False  # plain on white, though not in the file


def _on_white(read: Sequence[_Image]) -> str:
    """Return a reason why images are all the same, if it is that of white ink without a page."""
    if not any(image.is_lost for image in read):
        return ""
    return ": what is transparent is read as white, and their ink is white, too; put it on black before"


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
        return bytes.fromhex(safe_read.sha256_of_state(file, LARGEST))
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


def _read(file: Path, size: int) -> _Image:
    if file.is_dir():
        os.scandir(file).close()  # raises the reason why it cannot be listed
    with safe_read.opened(file, LARGEST) as content, Image.open(content) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith(("I", "F")):
        raise ValueError(f"wanted 8 bits a channel, got mode {image.mode}")
    lowest, highest = 255, 255  # opacity
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        layers = image.convert("RGBA")
        (lowest, highest), image = layers.getchannel("A").getextrema(), Image.alpha_composite(paper, layers)
    grey = image.convert("L")
    darkest, brightest = grey.getextrema()
    pixels = np.asarray(grey.resize((size, size), Image.Resampling.BOX))
    return _Image(pixels, image.size, lowest < 255, lowest < highest and darkest == brightest)
