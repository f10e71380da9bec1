"""What runs at the moment: a small file a run, and one a command, in the folder tmp/ of a results folder.

Nothing depends on them but what is shown, and which of two commands on one folder begins which run.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Thread

from lso_bench.store import safe_read
from lso_bench.store.process_identity import Process, this_process

EVERY = 1.0  # seconds between two writings
BEAT = 10.0  # seconds between two signs of life, however long a step takes
SILENT = 180.0  # seconds without a sign of life after which nobody waits; a network disk shows a change a minute late
LARGEST = 2**63  # of any number in a note
KEY = re.compile("([0-9a-f]{16})?")


@dataclass(frozen=True)
class Heartbeat:
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
    started: int = 0  # as in `Process`, like the next two
    boot: str = ""
    space: str = ""

    @property
    def process(self) -> Process:
        """Who does it."""
        return Process(self.host, self.pid, self.started, self.boot, self.space)


class HeartbeatFile:
    """The file that says what this process does; written anew at most every second, and gone at the end."""

    def __init__(self, folder: Path, running: Heartbeat):
        here = this_process()
        self.running = replace(running, since=time.time(), **asdict(here))
        self._path = _path(folder, running.key, here.host, here.pid)
        self._written = -EVERY

    def update(self, done: int, total: int, state: str = "", failed: int = 0) -> None:
        """How far it is."""
        self.running = replace(self.running, done=done, total=total, state=state, failed=failed)
        if time.monotonic() - self._written >= EVERY:
            self._written = time.monotonic()
            self._write()

    def _write(self) -> None:
        part = _part(self._path)
        with suppress(OSError):  # a full disk is told where something is lost by it
            part.write_text(json.dumps(asdict(self.running)))
            part.replace(self._path)

    def _beat(self, over: Event) -> None:
        """Touch the file now and then until it is over."""
        while not over.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)

    def _end(self) -> None:
        _delete_files(self._path)


@dataclass(frozen=True)
class StoredHeartbeat:
    """A note as it lies in a folder."""

    path: Path
    running: Heartbeat
    touched: int  # time of its last change by the clock of the disk, nanoseconds

    @property
    def over(self) -> bool:
        """Whether its process is gone, or, where that cannot be told, silent for too long."""
        gone = self.running.process.gone
        return self.silent if gone is None else gone

    @property
    def silent(self) -> bool:
        """Whether its last change is too old; a clock that is wrong may hide that."""
        return time.time() - self.touched / 1e9 >= SILENT


class Watch:
    """What others do in a folder, as far as it is worth waiting for: they give signs of life."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._since: dict[tuple[Path, int], float] = {}  # when a note was first seen with that change; our own clock

    def busy(self) -> dict[str, StoredHeartbeat]:
        """The notes of runs that are being done, by the key of the run."""
        seen, now = list(_notes(self._folder)), time.monotonic()
        self._since = {(n.path, n.touched): self._since.get((n.path, n.touched), now) for n in seen}
        still = {path for (path, _), since in self._since.items() if now - since >= SILENT}
        return {n.running.key: n for n in seen if n.running.key and not (n.path in still or n.silent or n.over)}


def waiting(note: StoredHeartbeat, count: int = 1) -> str:
    """What a command waits for, how long at most, and what to do if that is too long."""
    others = f", and {count - 1} more" if count > 1 else ""
    return (
        f"Waiting for {note.running.title}{others}: process {note.running.pid} on {note.running.host} does it. It is "
        f"begun here if {SILENT:.0f} s pass without a sign of life of that process, or once {note.path} is "
        "deleted. Ctrl-C ends the waiting; the same command goes on later."
    )


@contextmanager
def heartbeat(folder: Path, running: Heartbeat) -> Iterator[HeartbeatFile]:
    """The file is there while the body runs."""
    note, over = HeartbeatFile(folder, running), Event()
    try:
        note._write()
        Thread(target=note._beat, args=[over], daemon=True).start()
        yield note
    finally:
        over.set()
        note._end()


def read(folder: Path) -> tuple[list[Heartbeat], list[Heartbeat]]:
    """What runs, and what is said to run and is over: its process is gone, or its machine silent."""
    seen = [(n.over, n.running) for n in _notes(folder)]
    return [r for over, r in seen if not over], [r for over, r in seen if over]


def clear(folder: Path) -> None:
    """Remove what processes of this machine left that are gone."""
    for note in _notes(folder):
        if note.running.process.gone:
            _delete_files(note.path)


def remove(folder: Path, key: str, host: str, pid: int) -> None:
    """That process is known to be gone."""
    _delete_files(_path(folder, key, host, pid))


def _path(folder: Path, key: str, host: str, pid: int) -> Path:
    return folder / "tmp" / f"{key or 'command'}.{host}.{pid}.json"


def _part(path: Path) -> Path:
    """The file in which a note is written before it takes its place."""
    return path.with_suffix(".part")


def _delete_files(path: Path) -> None:
    for file in (path, _part(path)):
        with suppress(OSError):  # gone already, or a folder that cannot be written: a note hinders nobody for long
            file.unlink()


def _notes(folder: Path) -> Iterator[StoredHeartbeat]:
    """The notes in a folder; a file that is none is passed over, and so is one that has just gone."""
    for path in sorted((folder / "tmp").glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            running = Heartbeat(**safe_read.note(path))
            _check(running)
            yield StoredHeartbeat(path, running, path.stat().st_mtime_ns)


def _check(running: Heartbeat) -> None:
    """Refuse what no note says.

    Raises:
        ValueError: a value of another type, a number below 0 or without end, or a key that is none.
    """
    for name, default in asdict(Heartbeat("")).items():
        value = getattr(running, name)
        if type(value) is not type(default) and not (isinstance(default, float) and type(value) is int):
            raise ValueError(f"{name} is {value!r}")
        if not isinstance(value, str) and not 0 <= value < LARGEST:
            raise ValueError(f"{name} is no number that there can be")
    if not KEY.fullmatch(running.key):
        raise ValueError(f"{running.key!r} is no key")
