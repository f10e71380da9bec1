"""Images that were dear to make, kept in the user's cache."""

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lso_bench.vae import foreign
from lso_bench.vae.durable import write_whole
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.paths import cache_folder
from lso_bench.vae.text import remark

LARGEST = 1 << 30  # bytes of a kept data set; ours have 25 MiB
SHAPE = (28, 28)  # of an image


def cached(name: str, make: Callable[[], NDArray[np.uint8]], sha256: str = "") -> NDArray[np.uint8]:
    """The images (n, 28, 28) that `make` gives, kept as an array with its hash. A copy that is not as it was written is
    made again, and that is said; so is one of other images than those whose bytes have the hash `sha256`.
    """
    path = cache_folder() / f"{name}.npy"
    try:
        return _kept(path, sha256)
    except (FileNotFoundError, NotADirectoryError):
        pass  # not there yet
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        remark(f"{path} cannot be used ({why}) and is made anew.")
    images = make()
    content = _header(images.shape) + images.tobytes()
    try:
        write_whole(path, content)
        write_whole(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    except UnusableError:
        pass  # a cache that cannot be written costs time, nothing else
    return images


def _kept(path: Path, sha256: str) -> NDArray[np.uint8]:
    """The array in a file, of which no header is parsed: it has to be the one that an array of its size has.

    Raises:
        OSError, ValueError: there is none, or it is not as it was written.
    """
    content = foreign.content(path, LARGEST)
    if hashlib.sha256(content).hexdigest() != foreign.text(path.with_suffix(".sha256"), 64):
        raise ValueError("its content does not match its sha256")
    size = len(_header((0, *SHAPE)))
    images = np.frombuffer(bytearray(content[size:]), np.uint8)
    images = images[: len(images) // math.prod(SHAPE) * math.prod(SHAPE)].reshape(-1, *SHAPE)
    if content != _header(images.shape) + images.tobytes():
        raise ValueError(f"wanted an array of bytes of shape (n, {SHAPE[0]}, {SHAPE[1]})")
    if sha256 and hashlib.sha256(images.tobytes()).hexdigest() != sha256:
        raise ValueError("its images are others")
    return images


def _header(shape: tuple[int, ...]) -> bytes:
    """The beginning of the .npy file of such an array of bytes."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()
