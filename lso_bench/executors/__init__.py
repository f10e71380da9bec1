"""Executors: what carries out many runs. One a file; each publishes the records that it gives."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lso_bench.record import Record
from lso_bench.runner.run import Place
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

EVERY = 1.0  # seconds at least between two looks at what runs elsewhere, a file a run
PART = 0.05  # of the time at most that looking may take, on a slow disk with thousands of runs
PAUSE = 0.5  # seconds between two tries to begin a run that another does
PATIENCE = 1.0  # seconds that nothing is said of a wait
SAID = 60.0  # seconds until it is said again; each time twice as many


@dataclass(frozen=True)
class ExecutionOptions:
    """How runs are carried out. None of it changes what they find, but for the last digits that `threads` may."""

    place: Place = field(default_factory=Place)
    jobs: int = 1  # runs at the same time; 0: as many as the cluster has room for
    threads: int = 1  # of each
    timeout: float | None = None  # seconds of a run; None: no limit
    retries: int = 1  # of a run whose process died
    isolation: str = "run"  # a process a run; "batch": processes that do many; "none": in this process
    memory: int | None = None  # bytes that a run may take, on Linux and a CPU; None: no limit
    gpus: int = 0  # to deal out; 0: as `place` says
    address: str | None = None  # of a cluster; None: this machine
    share: float = 1.0  # of a GPU a run, on a cluster
    say: Callable[[str], None] = lambda line: None  # what a user should know meanwhile


# The record of each run as it is done, published already and without trace and tensors. What went wrong with one run
# is its record too; an UnusableError ends everything, for no other run would fare better.
Executor = Callable[[Sequence[PlannedRun], Store, ExecutionOptions], Iterator[Record]]


@dataclass
class Attempt:
    """A run to be done, and why it was not done before."""

    planned: PlannedRun
    deaths: list[str] = field(default_factory=list)  # of the processes that tried it

    def provenance(self, isolation: str) -> dict[str, str]:
        """What a record's versions say of how it was carried out."""
        return {"isolation": isolation} | ({"deaths": "; ".join(self.deaths)} if self.deaths else {})


@dataclass(frozen=True)
class LostRun:
    """A run that has no record: its process died, or it took too long and was ended."""

    why: str
    late: bool = False
    pid: int = 0  # of its process, where that was on this machine


class Queue:
    """Runs that wait. What another command on the same folder is busy with comes last."""

    def __init__(self, planned: Iterable[PlannedRun], store: Store, say: Callable[[str], None] = lambda line: None):
        self._waiting = deque(Attempt(p) for p in planned)
        self._watch, self._busy, self._next = heartbeat.Watch(store.folder), dict[str, heartbeat.StoredHeartbeat](), 0.0
        self._say, self._idle, self._pause = say, 0.0, PATIENCE
        self.store = store

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt | None:
        """The next to do; None where all that wait are being done elsewhere at the moment."""
        if time.monotonic() > self._next:
            self._look()
        attempt = self._free()
        if attempt is None and self._waiting:
            self._look()
            attempt = self._free()
        if attempt is not None:
            self._idle, self._pause = 0.0, PATIENCE
        return attempt

    def requeue(self, attempt: Attempt) -> None:
        """It waits once more."""
        self._waiting.append(attempt)

    def wait(self) -> None:
        """A moment in which nothing is done here, for others do all that wait; says so, at once and then rarely."""
        now = time.monotonic()
        self._idle = self._idle or now
        notes = [note for a in self._waiting if (note := self._busy.get(a.planned.spec.key))]
        if notes and now - self._idle >= self._pause:
            self._pause = max(SAID, 2 * self._pause)
            self._say(heartbeat.waiting(notes[0], len(notes)))
        time.sleep(PAUSE)

    def _look(self) -> None:
        begun = time.monotonic()
        self._busy = self._watch.busy()
        self._next = begun + max(EVERY, (time.monotonic() - begun) / PART)

    def _free(self) -> Attempt | None:
        for attempt in self._waiting:
            if attempt.planned.spec.key not in self._busy:
                self._waiting.remove(attempt)
                return attempt
        return None
