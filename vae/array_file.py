"""Data sets of a user's array of NumPy: images, or vectors of numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.remarks import remark
from lso_bench.vae.datasets import Source
from lso_bench.vae.image_folder import shades_note

FEWEST = 100  # samples; of fewer, a tenth is too small a test set
LARGEST = 8 << 30  # bytes of a file
CHANNELS = (1, 3)  # of images, grey and in colour
SAVE = "np.save(path, (255 * images).round().astype(np.uint8)) writes images that lie in [0, 1]"


@dataclass(frozen=True)
class ImageArray(Source):
    """Images of an array of bytes: grey, (n, h, w), or in colour, (n, 3, h, w) or (n, h, w, 3); white is 255."""

    path: Path
    likelihood: str = "bernoulli"
    words = ("images", "pixels")

    @property
    def shape(self) -> tuple[int, ...]:
        return _shape_of_images(_mapped(self.path).shape)

    def samples(self, folder: Path) -> UInt8[np.ndarray, "n c h w"]:
        array = _read(self.path, np.uint8)
        if array.max() == 1:
            remark(f"{self.path}: images of 0 and 1 are read as black and white.")
            array *= 255
        if note := shades_note(self.path, array, self.likelihood):
            remark(note)
        return _channels_first(array)


@dataclass(frozen=True)
class VectorArray(Source):
    """Vectors of an array of floating-point numbers, (n, d), as they are, in float32."""

    path: Path
    likelihood = "gaussian:bounded=false"

    @property
    def shape(self) -> tuple[int, ...]:
        return _mapped(self.path).shape[1:]

    def samples(self, folder: Path) -> Float32[np.ndarray, "n d"]:
        return _read(self.path, np.float32)


def array_file(path: Path) -> Source:
    """Return the data set of a file, by the type of its numbers; what is wrong with it shows when it is read."""
    try:
        return VectorArray(path) if _mapped(path).ndim == 2 else ImageArray(path)
    except UnusableError:
        return ImageArray(path)


def _mapped(path: Path) -> Shaped[np.ndarray, "n *shape"]:
    """Return the array in a file, of which nothing but the header is read yet.

    Raises:
        UnusableError: it cannot be read, or is none of images or vectors.
    """
    try:
        safe_read.check(path, path.stat(), LARGEST)
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is an archive of several")
    except (OSError, ValueError, EOFError) as error:
        why = " ".join(str(getattr(error, "strerror", None) or error).split()).rstrip(".")
        raise UnusableError(f"{path}: wanted an array of numbers, as np.save writes it: {why}.") from error
    if fault := _fault(array):
        raise UnusableError(f"{path}: {fault}.")
    return array


def _read(path: Path, dtype: type[np.generic]) -> Shaped[np.ndarray, "n *shape"]:
    """Return a copy of the array in a file, in a type of numbers.

    Raises:
        UnusableError: as `_mapped`; or all its samples are the same.
    """
    array = np.array(_mapped(path), dtype)
    if (array == array[:1]).all():
        raise UnusableError(f"{path}: wanted samples that differ, got the same {len(array)} times.")
    return array


def _fault(array: np.ndarray) -> str:
    """Return what keeps an array from being a data set; empty if nothing does."""
    kind, got = array.dtype.kind, f"got {array.dtype} {array.shape}"
    if array.ndim > 2 and kind == "f":
        return f"wanted images in bytes (uint8), {got}; {SAVE}"
    if array.ndim == 2 and kind != "f":
        return f"wanted vectors (n, d) in floating-point numbers, {got}"
    if kind != "f" and array.dtype not in (bool, np.uint8):
        return f"wanted images in bytes (uint8), {got}; bring them to levels from 0 to 255, then .astype(np.uint8)"
    if (array.ndim == 4 and not _axis_of_channels(array.shape)) or array.ndim not in (2, 3, 4):
        return f"wanted images (n, h, w), grey, or (n, 3, h, w), in colour, or vectors (n, d), {got}"
    if len(array) < FEWEST:
        return f"wanted {FEWEST} samples or more, got {len(array)}"
    return ""


def _axis_of_channels(shape: tuple[int, ...]) -> int:
    """Return the axis of the channels of images with four axes; 0 if there is none."""
    return next((axis for axis in (1, 3) if shape[axis] in CHANNELS), 0)


def _shape_of_images(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one image, (c, h, w), of an array of them."""
    if len(shape) == 3:
        return 1, *shape[1:]
    return shape[1:] if _axis_of_channels(shape) == 1 else (shape[3], *shape[1:3])


def _channels_first(array: UInt8[np.ndarray, "n *shape"]) -> UInt8[np.ndarray, "n c h w"]:
    if array.ndim == 3:
        return array[:, None]
    return array if _axis_of_channels(array.shape) == 1 else np.ascontiguousarray(array.transpose(0, 3, 1, 2))
