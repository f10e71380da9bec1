"""Files of results, which anybody may have put there: read only if they are plain and no larger than they can be."""

import os
from pathlib import Path
from typing import Any

from lso_bench.vae import foreign

LARGEST = 4 << 30  # bytes of a table or of tensors; those of 100,000 searches of 64 x 64 pixels take 1 GiB
LARGEST_RESULT = 64 << 20  # bytes of a result.json; 100,000 searches take 40 MiB
LARGEST_METRICS = 16 << 20  # bytes of what was measured of a latent space; of 1,024 dimensions 0.1 MiB
LARGEST_NOTE = 64 << 10  # bytes of a note of what runs, and of what marks a results folder; ours take less than 1 KiB


def content(path: Path, most: int = LARGEST) -> bytes:
    """All that is in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: larger than `most` bytes, or a device or pipe, which may have no end.
    """
    return foreign.content(path, most)


def check(path: Path) -> None:
    """Refuse a file that `content` would not read, without a look at what is in it.

    Raises:
        OSError, ValueError: as `content`.
    """
    foreign.check(path, os.stat(path), LARGEST)


def result(run: Path) -> Any:
    """What the result.json in the folder of a run says.

    Raises:
        OSError: it cannot be read.
        ValueError: too large, no JSON object, or nested too deeply.
    """
    return _object(run / "result.json", LARGEST_RESULT)


def parsed(text: bytes) -> Any:
    """The value of a result's JSON text.

    Raises:
        ValueError: no JSON, or nested too deeply.
    """
    return foreign.parsed(text, foreign.refused)


def note(path: Path) -> Any:
    """The value in a small JSON file: a note of what runs, or what marks a results folder.

    Raises:
        OSError, ValueError: as `result`.
    """
    return _object(path, LARGEST_NOTE)


def metrics(path: Path) -> Any:
    """The value in a file of what was measured of a latent space.

    Raises:
        OSError, ValueError: as `result`.
    """
    return _object(path, LARGEST_METRICS)


def _object(path: Path, most: int) -> dict[str, Any]:
    value = foreign.read_json(path, most)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds {type(value).__name__}, wanted an object with names")
    return value
