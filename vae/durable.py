"""Files that are, at every moment, absent, the old one or the whole new one; and what is said where a disk fails."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vae.errors import UnusableError


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to `path`, with its folder where that is missing.

    Raises:
        UnusableError: as `writing`; what stood at `path` still does.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Its body writes to `path`.

    Raises:
        UnusableError: it could not: names `path`, the reason and the room that is left.
    """
    try:
        yield
    except OSError as error:
        raise UnusableError(f"Cannot write {path}: {reason(error, path)}.") from error


def reason(error: OSError, path: Path) -> str:
    """Why `path` could not be written, and the room that is left on its disk."""
    return f"{error.strerror or error}, {room(path)}"


def room(path: Path) -> str:
    """How much is free on the disk of `path`, which need not be there."""
    there = next((p for p in (path, *path.absolute().parents) if p.exists()), Path("/"))
    return f"{shutil.disk_usage(there).free / 1e9:.3g} GB free there"
