"""Read files of untrusted results folders: only plain files, up to a maximum size."""

import os
from pathlib import Path
from typing import Any

from lso_bench.files import safe_read

LARGEST = 4 << 30  # bytes of a table or of tensors; 100,000 searches with 64 x 64 pixels take 1 GiB
LARGEST_RESULT = 64 << 20  # bytes of a result.json; 100,000 searches take 40 MiB
LARGEST_METRICS = 16 << 20  # bytes of the metrics of a latent space; 1,024 dimensions take 0.1 MiB
LARGEST_NOTE = 64 << 10  # bytes of a heartbeat or marker file; ours take less than 1 KiB


def content(path: Path, most: int = LARGEST) -> bytes:
    """Return all bytes of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has more than `most` bytes, or is a device or pipe, which may have no end.
    """
    return safe_read.content(path, most)


def check(path: Path) -> None:
    """Refuse a file that `content` would not read, without reading it.

    Raises:
        OSError, ValueError: as for `content`.
    """
    safe_read.check(path, os.stat(path), LARGEST)


def result(run: Path) -> Any:
    """Parse the result.json in the folder of a run.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is too large, no JSON object, or nested too deeply.
    """
    return _object(run / "result.json", LARGEST_RESULT)


def parsed(text: bytes) -> Any:
    """Parse the JSON text of a result.

    Raises:
        ValueError: the text is no JSON, or nested too deeply.
    """
    return safe_read.parsed(text, safe_read.refused)


def note(path: Path) -> Any:
    """Parse a small JSON file: a heartbeat or the marker of a results folder.

    Raises:
        OSError, ValueError: as for `result`.
    """
    return _object(path, LARGEST_NOTE)


def metrics(path: Path) -> Any:
    """Parse a file of metrics of a latent space.

    Raises:
        OSError, ValueError: as for `result`.
    """
    return _object(path, LARGEST_METRICS)


def _object(path: Path, most: int) -> dict[str, Any]:
    value = safe_read.read_json(path, most)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds {type(value).__name__}, wanted an object with names")
    return value
