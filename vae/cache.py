"""Images that were dear to make, kept in the user's cache."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from vae.durable import write_whole
from vae.errors import UnusableError


def cache_folder() -> Path:
    """Where what can be made again is kept: `LSO_BENCH_CACHE`, else the user's cache."""
    return Path(os.environ.get("LSO_BENCH_CACHE") or user_cache_path("lso-bench")).expanduser()


def cached(name: str, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What `make` gives, kept as an array with its hash; a copy that does not match its hash is made again."""
    path = cache_folder() / f"{name}.npy"
    try:
        content, digest = path.read_bytes(), path.with_suffix(".sha256").read_text()
        if hashlib.sha256(content).hexdigest() == digest:
            return np.load(io.BytesIO(content), allow_pickle=False)
    except OSError:
        pass  # not there yet
    images = make()
    buffer = io.BytesIO()
    np.save(buffer, images)
    try:
        write_whole(path, buffer.getvalue())
        write_whole(path.with_suffix(".sha256"), hashlib.sha256(buffer.getvalue()).hexdigest().encode())
    except UnusableError:
        pass  # a cache that cannot be written costs time, nothing else
    return images
