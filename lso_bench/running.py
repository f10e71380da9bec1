"""What runs at the moment: a small file a run, and one a command, in the folder tmp/ of a results folder.

Nothing depends on them but what is shown, and which of two commands on one folder begins which run.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

EVERY = 1.0  # seconds between two writings
SILENT = 1800.0  # seconds without a word after which what runs on another machine counts as over


@dataclass(frozen=True)
class Running:
    """A run, or a command (which has no key): who does it, since when, and how far it is."""

    title: str
    key: str = ""  # of the run's spec
    done: int = 0  # steps; of a command runs
    total: int = 0  # at most; 0: not known yet
    failed: int = 0  # runs of a command
    state: str = ""  # in words
    host: str = ""
    pid: int = 0
    since: float = 0.0  # of the clock, seconds


class Note:
    """The file that says what this process does; written anew at most every second, and gone at the end."""

    def __init__(self, folder: Path, running: Running):
        self.running = replace(running, host=socket.gethostname(), pid=os.getpid(), since=time.time())
        self._path = folder / "tmp" / f"{running.key or 'command'}.{self.running.host}.{os.getpid()}.json"
        self._written = -EVERY

    def say(self, done: int, total: int, state: str = "", failed: int = 0) -> None:
        """How far it is."""
        self.running = replace(self.running, done=done, total=total, state=state, failed=failed)
        if time.monotonic() - self._written >= EVERY:
            self._written = time.monotonic()
            self._write()

    def _write(self) -> None:
        part = self._path.with_name(f".{uuid.uuid4().hex}.{os.getpid()}")
        with suppress(OSError):  # a full disk is told where something is lost by it
            part.write_text(json.dumps(asdict(self.running)))
            part.replace(self._path)

    def _end(self) -> None:
        self._path.unlink(missing_ok=True)


@contextmanager
def noted(folder: Path, running: Running) -> Iterator[Note]:
    """The file is there while the body runs."""
    note = Note(folder, running)
    note._write()
    try:
        yield note
    finally:
        note._end()


def read(folder: Path) -> tuple[list[Running], list[Running]]:
    """What runs, and what is said to run and is over: its process is gone, or its machine silent."""
    alive, over = [], []
    for path in sorted((folder / "tmp").glob("*.json")):
        try:
            found, said = Running(**json.loads(path.read_text())), path.stat().st_mtime
        except (OSError, ValueError, TypeError):
            continue  # just gone, or not ours
        (alive if _is_alive(found, said) else over).append(found)
    return alive, over


def clear(folder: Path) -> None:
    """Remove what processes of this machine left that are gone."""
    for found in read(folder)[1]:
        if found.host == socket.gethostname():
            forget(folder, found.key, found.host, found.pid)


def forget(folder: Path, key: str, host: str, pid: int) -> None:
    """That process is known to be gone."""
    (folder / "tmp" / f"{key or 'command'}.{host}.{pid}.json").unlink(missing_ok=True)


def _is_alive(found: Running, said: float) -> bool:
    if found.host != socket.gethostname():
        return time.time() - said < SILENT
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
