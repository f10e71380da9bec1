"""Atomic writes: a file is at every moment absent, the old one or the complete new one. Messages of disk errors."""

import errno
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lso_bench.errors import WriteError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors whose message states the free space
DESCRIPTOR = re.compile("/(?:proc/self|dev)/fd/([0-9]+)")  # path of an open file of this process


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, making its folder; an existing file or link is replaced.

    Raises:
        WriteError: as `reporting_disk_errors`; the old file at `path` is unchanged.
    """
    with reporting_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(path) as file:
            file.write(content)


def write_out(path: Path, content: bytes) -> None:
    """Write `content` to a path that the user chose, as `output` does.

    Raises:
        WriteError: as `reporting_disk_errors`.
    """
    with output(path) as file:
        file.write(content)


@contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """Open for writing a file that the user named for output.

    A pipe or device is written to and not replaced. A link stays, and the file that it leads to is replaced.

    Raises:
        WriteError: as `reporting_disk_errors`; the old file at `path` is unchanged.
    """
    with (
        reporting_disk_errors(path),
        _writing_through(path) if is_special(path) else _replacing(_resolve_target(path)) as file,
    ):
        yield file


def _resolve_target(path: Path) -> Path:
    """Return the file that `path` leads to, and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.realpath(path)
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return Path(target)


def is_special(path: Path) -> bool:
    """Return whether a path is something other than a regular file or a folder."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _descriptor(path: Path) -> int | None:
    """Return the descriptor that a path such as /dev/stdout means, also through links."""
    for _ in range(8):
        name = os.path.join(os.path.realpath(path.parent), path.name)
        if match := DESCRIPTOR.fullmatch(name.replace(f"/proc/{os.getpid()}/", "/proc/self/")):
            return int(match[1])
        if not os.path.islink(name):
            return None
        path = Path(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


@contextmanager
def _writing_through(path: Path) -> Iterator[BinaryIO]:
    descriptor = _descriptor(path)
    opened = os.open(path, os.O_WRONLY | os.O_NOCTTY) if descriptor is None else os.dup(descriptor)
    with open(opened, "wb") as file:
        yield file


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `path`; it replaces `path` when the body ends without an error."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    part = path.with_name(f".{uuid.uuid4().hex}.{os.getpid()}")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def reporting_disk_errors(path: Path) -> Iterator[None]:
    """Report disk errors of the body, which writes to `path`.

    Raises:
        WriteError: the write failed; names `path`, the reason and, on a full disk, the free space.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(f"Cannot write {path}: {disk_error_reason(error, path)}.") from error


def disk_error_reason(error: OSError, path: Path) -> str:
    """Return the reason why `path` could not be written; on a full disk with the free space."""
    reason = error.strerror or str(error)
    return f"{reason}, {free_space(path)}" if error.errno in FULL else reason


def free_space(path: Path) -> str:
    """Return the free space on the disk of `path`, as text; `path` need not exist."""
    existing = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    return f"{shutil.disk_usage(existing).free / 1e9:.3g} GB free there"
