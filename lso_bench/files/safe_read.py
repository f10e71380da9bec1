"""Files of unknown origin: only regular files are opened, and only up to a size read."""

import hashlib
import json
import os
import stat
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

DEEPEST = 32  # levels of lists and objects in JSON; ours have 5
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def opened(path: Path, most: int) -> BufferedReader:
    """Open a regular file of at most `most` bytes for reading.

    Nothing else is opened: a device may have no end, a pipe no writer, and opening some devices has effects.

    Raises:
        OSError: the file does not exist, or may not be read.
        ValueError: it is not a regular file, or is larger.
    """
    check(path, os.stat(path), most)
    file = open(path, "rb", opener=_open_nonblocking)  # noqa: SIM115, the caller closes it
    try:
        check(path, os.fstat(file.fileno()), most)  # it may have been replaced since
    except ValueError:
        file.close()
        raise
    return file


def content(path: Path, most: int) -> bytes:
    """Return all bytes of a file.

    Raises:
        OSError, ValueError: as `opened`.
    """
    with opened(path, most) as file:
        return file.read(os.fstat(file.fileno()).st_size)


def text(path: Path, most: int) -> str:
    """Return the content of a file in UTF-8.

    Raises:
        OSError, ValueError: as `opened`; or it is not UTF-8.
    """
    return content(path, most).decode()


def sha256(path: Path, most: int) -> str:
    """Compute the hash of a file, hexadecimal, without all of it in memory.

    Raises:
        OSError, ValueError: as `opened`.
    """
    with opened(path, most) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_state(path: Path, most: int) -> str:
    """Return the hash of a file, computed once in this process for each of its states: a write makes another one.

    Raises:
        OSError, ValueError: as `opened`.
    """
    status = os.stat(path)
    return _sha256_of_state(path, most, (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


@lru_cache(maxsize=1 << 16)  # a folder of images has many files
def _sha256_of_state(path: Path, most: int, state: tuple[int, ...]) -> str:
    return sha256(path, most)


def read_json(path: Path, most: int) -> Any:
    """Return the value in a JSON file.

    Raises:
        OSError, ValueError: as `text` and `parsed`.
    """
    return parsed(text(path, most), refused)


def parsed(written: str | bytes, constant: Any = float) -> Any:
    """Return the value of a JSON text; `constant` is called with each `NaN` and `Infinity`, which are not JSON.

    Raises:
        ValueError: not JSON, or nested more than `DEEPEST` levels.
    """
    deep = ValueError(f"nested more than {DEEPEST} levels")
    try:
        value = json.loads(written, parse_constant=constant)
    except RecursionError as error:
        raise deep from error
    level = [value]
    for _ in range(DEEPEST):
        level = [v for x in level if isinstance(x, dict | list) for v in (x.values() if isinstance(x, dict) else x)]
        if not level:
            return value
    raise deep


def check(path: Path, status: os.stat_result, most: int) -> None:
    """Refuse anything but a regular file of at most `most` bytes.

    Raises:
        ValueError: says what it is.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise ValueError(f"{path.name} is no plain file, but {kind}")
    if status.st_size > most:
        raise ValueError(f"{path.name} is larger than {_size(most)}")


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


def _open_nonblocking(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY)


def refused(word: str) -> None:
    """Raise ValueError: `NaN` and `Infinity` are not JSON."""
    raise ValueError(f"{word} is no JSON")
