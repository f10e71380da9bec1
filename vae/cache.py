"""Images that were dear to make, kept in the user's cache."""

import hashlib
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vae.durable import write_whole
from vae.errors import UnusableError
from vae.paths import cache_folder


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
