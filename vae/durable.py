"""Files that are, at every moment, absent, the old one or the whole new one; and what is said where a disk fails."""

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

from lso_bench.vae.errors import UnusableError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # reasons to say how much room is left
DESCRIPTOR = re.compile("/(?:proc/self|dev)/fd/([0-9]+)")  # a file that this process holds open


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, with its folder where that is missing; whatever stood there is replaced, a link, too.

    Raises:
        UnusableError: as `writing`; what stood at `path` still does.
    """
    with reporting_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(path) as file:
            file.write(content)


def write_out(path: Path, content: bytes) -> None:
    """Write `content` to where a user said, as `output` does.

    Raises:
        UnusableError: as `writing`.
    """
    with output(path) as file:
        file.write(content)


@contextmanager
def output(path: Path) -> Iterator[BinaryIO]:
    """The file that a user named for output, open for writing. A pipe or device is written to and stays what it is; of
    a link the file that it leads to is replaced, and the link stays.

    Raises:
        UnusableError: as `writing`; a file that stood at `path` still does.
    """
    with reporting_disk_errors(path), _through(path) if is_special(path) else _replacing(_made_ready(path)) as file:
        yield file


def _made_ready(path: Path) -> Path:
    """The file that `path` leads to, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.path.realpath(path)
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return Path(target)


def is_special(path: Path) -> bool:
    """Whether something other than a plain file or a folder stands there."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _descriptor(path: Path) -> int | None:
    """Which open file of this process a path such as /dev/stdout means, by way of links."""
    for _ in range(8):
        name = os.path.join(os.path.realpath(path.parent), path.name)
        if match := DESCRIPTOR.fullmatch(name.replace(f"/proc/{os.getpid()}/", "/proc/self/")):
            return int(match[1])
        if not os.path.islink(name):
            return None
        path = Path(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


@contextmanager
def _through(path: Path) -> Iterator[BinaryIO]:
    descriptor = _descriptor(path)
    opened = os.open(path, os.O_WRONLY | os.O_NOCTTY) if descriptor is None else os.dup(descriptor)
    with open(opened, "wb") as file:
        yield file


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which takes its place when the body has ended well."""
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
    """Its body writes to `path`.

    Raises:
        UnusableError: it could not: names `path`, the reason and, on a full disk, the room that is left.
    """
    try:
        yield
    except OSError as error:
        raise UnusableError(f"Cannot write {path}: {disk_error_reason(error, path)}.") from error


def disk_error_reason(error: OSError, path: Path) -> str:
    """Why `path` could not be written; on a full disk also the room that is left."""
    why = error.strerror or str(error)
    return f"{why}, {free_space(path)}" if error.errno in FULL else why


def free_space(path: Path) -> str:
    """How much is free on the disk of `path`, which need not be there."""
    there = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    return f"{shutil.disk_usage(there).free / 1e9:.3g} GB free there"
