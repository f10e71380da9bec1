"""Files of results, which anybody may have put there: read only if they are plain and no larger than they can be."""

import json
import os
import stat
from pathlib import Path
from typing import Any

LARGEST = 4 << 30  # bytes of a table or of tensors; those of 100,000 searches of 64 x 64 pixels take 1 GiB
LARGEST_RESULT = 64 << 20  # bytes of a result.json; 100,000 searches take 40 MiB


def content(path: Path, most: int = LARGEST) -> bytes:
    """All that is in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: larger than `most` bytes, or a device or pipe, which may have no end.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path.name} is no plain file")
        if found.st_size > most:
            raise ValueError(f"{path.name} is larger than {most >> 20} MiB")
        return file.read(found.st_size)


def result(run: Path) -> Any:
    """What the result.json in the folder of a run says.

    Raises:
        OSError: it cannot be read.
        ValueError, RecursionError: too large, no JSON, or nested too deeply.
    """
    return parsed(content(run / "result.json", LARGEST_RESULT))


def parsed(text: bytes) -> Any:
    """The value of a result's JSON text.

    Raises:
        ValueError, RecursionError: no JSON, or nested too deeply.
    """
    return json.loads(text.decode(), parse_constant=_no_json)


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
