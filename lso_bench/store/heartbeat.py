"""Heartbeats of current work: a small file per run and per command, in the folder tmp/ of a results folder.

They determine only the progress display, and which of two commands on one folder starts which run.
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

from lso_bench.store import result_files
from lso_bench.store.process_identity import Process, this_process

EVERY = 1.0  # seconds between two writes
BEAT = 10.0  # seconds between two touches of the file, however long a step takes
SILENT = 180.0  # seconds without a touch after which nobody waits; network disks show changes a minute late
LARGEST = 2**63  # bound of any number in a heartbeat
KEY = re.compile("([0-9a-f]{16})?")


@dataclass(frozen=True)
class Heartbeat:
    """Progress of a run, or of a command (which has no key), and the process that does it."""

    title: str
    key: str = ""  # of the run's spec
    done: int = 0  # steps of a run, or runs of a command
    total: int = 0  # largest number of steps or runs; 0: not known yet
    failed: int = 0  # failed runs of a command
    state: str = ""  # text for the user
    host: str = ""
    pid: int = 0
    since: float = 0.0  # Unix time in seconds
    started: int = 0  # like the next two, as in `Process`
    boot: str = ""
    space: str = ""

    @property
    def process(self) -> Process:
        """Identity of the process that does the work."""
        return Process(self.host, self.pid, self.started, self.boot, self.space)


class HeartbeatFile:
    """File with the progress of this process, written at most once a second and deleted at the end."""

    def __init__(self, folder: Path, beat: Heartbeat):
        current = this_process()
        self.heartbeat = replace(beat, since=time.time(), **asdict(current))
        self._path = _path(folder, beat.key, current.host, current.pid)
        self._written = -EVERY

    def update(self, done: int, total: int, state: str = "", failed: int = 0) -> None:
        """Record the progress."""
        self.heartbeat = replace(self.heartbeat, done=done, total=total, state=state, failed=failed)
        if time.monotonic() - self._written >= EVERY:
            self._written = time.monotonic()
            self._write()

    def _write(self) -> None:
        temporary = _temporary(self._path)
        with suppress(OSError):  # a full disk is reported where data would be lost
            temporary.write_text(json.dumps(asdict(self.heartbeat)))
            temporary.replace(self._path)

    def _touch(self, ended: Event) -> None:
        """Touch the file every few seconds until `ended` is set."""
        while not ended.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)

    def _delete(self) -> None:
        _delete_files(self._path)


@dataclass(frozen=True)
class StoredHeartbeat:
    """A heartbeat file found in a folder."""

    path: Path
    heartbeat: Heartbeat
    touched: int  # time of the last change by the clock of the disk, nanoseconds

    @property
    def ended(self) -> bool:
        """True if its process has ended, or, where that is unknown, has been silent for too long."""
        gone = self.heartbeat.process.gone
        return self.silent if gone is None else gone

    @property
    def silent(self) -> bool:
        """True if the last change is too old; a wrong clock may hide that."""
        return time.time() - self.touched / 1e9 >= SILENT


class Watch:
    """Watch for runs of other processes in a folder that are worth waiting for, because they give signs of life."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._since: dict[tuple[Path, int], float] = {}  # monotonic time of the first sight of a heartbeat's change

    def busy(self) -> dict[str, StoredHeartbeat]:
        """Return the heartbeats of current runs, by the key of the run."""
        beats, now = list(_stored(self._folder)), time.monotonic()
        self._since = {(n.path, n.touched): self._since.get((n.path, n.touched), now) for n in beats}
        silent_paths = {path for (path, _), since in self._since.items() if now - since >= SILENT}
        return {
            n.heartbeat.key: n for n in beats if n.heartbeat.key and not (n.path in silent_paths or n.silent or n.ended)
        }


def waiting(beat: StoredHeartbeat, count: int = 1) -> str:
    """Return the message about a wait: for which run, for how long at most, and how to end it."""
    suffix = f", and {count - 1} more" if count > 1 else ""
    return (
        f"Waiting for {beat.heartbeat.title}{suffix}: process {beat.heartbeat.pid} on {beat.heartbeat.host} does it. "
        f"It is begun here if {SILENT:.0f} s pass without a sign of life of that process, or once {beat.path} is "
        "deleted. Ctrl-C ends the waiting; the same command goes on later."
    )


@contextmanager
def heartbeat(folder: Path, beat: Heartbeat) -> Iterator[HeartbeatFile]:
    """Keep a heartbeat file while the body runs."""
    note, ended = HeartbeatFile(folder, beat), Event()
    try:
        note._write()
        Thread(target=note._touch, args=[ended], daemon=True).start()
        yield note
    finally:
        ended.set()
        note._delete()


def read(folder: Path) -> tuple[list[Heartbeat], list[Heartbeat]]:
    """Return the heartbeats of current work, and those left by processes that are gone or silent."""
    beats = [(n.ended, n.heartbeat) for n in _stored(folder)]
    return [r for ended, r in beats if not ended], [r for ended, r in beats if ended]


def clear(folder: Path) -> None:
    """Delete the heartbeats of ended processes of this machine."""
    for beat in _stored(folder):
        if beat.heartbeat.process.gone:
            _delete_files(beat.path)


def remove(folder: Path, key: str, host: str, pid: int) -> None:
    """Delete the heartbeat of a process that is known to be gone."""
    _delete_files(_path(folder, key, host, pid))


def _path(folder: Path, key: str, host: str, pid: int) -> Path:
    return folder / "tmp" / f"{key or 'command'}.{host}.{pid}.json"


def _temporary(path: Path) -> Path:
    """Return the path that a heartbeat is written to before it is renamed."""
    return path.with_suffix(".part")


def _delete_files(path: Path) -> None:
    for file in (path, _temporary(path)):
        with suppress(OSError):  # gone already, or in a read-only folder: a heartbeat blocks nobody for long
            file.unlink()


def _stored(folder: Path) -> Iterator[StoredHeartbeat]:
    """Yield the heartbeats in a folder; other files, and files that just vanished, are skipped."""
    for path in sorted((folder / "tmp").glob("*.json")):
        with suppress(OSError, ValueError, TypeError):
            beat = Heartbeat(**result_files.note(path))
            _check(beat)
            yield StoredHeartbeat(path, beat, path.stat().st_mtime_ns)


def _check(beat: Heartbeat) -> None:
    """Refuse values that no heartbeat has.

    Raises:
        ValueError: a value has the wrong type, a number is negative or infinite, or the key is none.
    """
    for name, default in asdict(Heartbeat("")).items():
        value = getattr(beat, name)
        if type(value) is not type(default) and not (isinstance(default, float) and type(value) is int):
            raise ValueError(f"{name} is {value!r}")
        if not isinstance(value, str) and not 0 <= value < LARGEST:
            raise ValueError(f"{name} is no number that there can be")
    if not KEY.fullmatch(beat.key):
        raise ValueError(f"{beat.key!r} is no key")
