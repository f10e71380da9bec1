"""Samples that are expensive to make, kept in the user's cache."""

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.paths import cache_folder
from lso_bench.files.remarks import remark

LARGEST = 1 << 30  # bytes of a kept data set; ours have 25 MiB
IMAGE = (28, 28)


def cached(
    name: str, make: Callable[[], NDArray[np.uint8]], sha256: str = "", shape: tuple[int, ...] = IMAGE
) -> NDArray[np.uint8]:
    """Return the samples (n, *shape) that `make` makes, from the cache where it has them.

    The array is kept beside its hash. A damaged copy is made again, with a line on stderr. So is a copy of samples
    whose bytes do not have the hash `sha256`.
    """
    path = cache_folder() / f"{name}.npy"
    try:
        return _read_cached(path, sha256, shape)
    except (FileNotFoundError, NotADirectoryError):
        pass  # not in the cache yet
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        remark(f"{path} cannot be used ({reason}) and is made anew.")
    samples = make()
    content = _header(samples.shape) + samples.tobytes()
    try:
        write_atomic(path, content)
        write_atomic(path.with_suffix(".sha256"), hashlib.sha256(content).hexdigest().encode())
    except UnusableError:
        pass  # a cache that cannot be written costs time, nothing else
    return samples


def _read_cached(path: Path, sha256: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read the array in a file. Its header is not parsed: it must equal the header of an array of that size.

    Raises:
        OSError, ValueError: the file is missing or damaged.
    """
    content = safe_read.content(path, LARGEST)
    if hashlib.sha256(content).hexdigest() != safe_read.text(path.with_suffix(".sha256"), 64):
        raise ValueError("its content does not match its sha256")
    size = len(_header((0, *shape)))
    samples = np.frombuffer(bytearray(content[size:]), np.uint8)
    samples = samples[: len(samples) // math.prod(shape) * math.prod(shape)].reshape(-1, *shape)
    if content[:size] != _header(samples.shape) or len(content) != size + samples.size:
        raise ValueError(f"wanted an array of bytes of shape (n, {str(shape)[1:]}")
    if sha256 and hashlib.sha256(samples.tobytes()).hexdigest() != sha256:
        raise ValueError("its samples are others")
    return samples


def _header(shape: tuple[int, ...]) -> bytes:
    """Return the first bytes of the .npy file of an array of bytes of this shape."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return header.getvalue()
