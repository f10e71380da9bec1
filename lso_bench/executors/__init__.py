"""Executors: carry out many runs, one executor a file; each publishes the records that it yields."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lso_bench.record import Record
from lso_bench.runner.placement import Placement
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

EVERY = 1.0  # least seconds between two reads of the heartbeats, a file a run
PART = 0.05  # largest share of the time for these reads, on a slow disk with thousands of runs
PAUSE = 0.5  # seconds between two tries to begin a run that another process does
PATIENCE = 1.0  # seconds of waiting before the first message
SECOND_MESSAGE = 60.0  # seconds until the next message; doubles each time


@dataclass(frozen=True)
class ExecutionOptions:
    """Options of the execution of runs.

    They do not change results, except that `threads` may change the last digits.
    """

    place: Placement = field(default_factory=Placement)
    jobs: int = 1  # runs at the same time; 0: as many as the cluster has room for
    threads: int = 1  # threads of each run
    timeout: float | None = None  # seconds that a run may take; None: no limit
    retries: int = 1  # further tries of a run whose process died
    isolation: str = "run"  # "run": one process a run; "batch": processes that do many runs; "none": this process
    memory: int | None = None  # bytes that a run may take, on Linux without a GPU; None: no limit
    gpus: int = 0  # GPUs to share among runs; 0: the device of `place`
    address: str | None = None  # address of a cluster; None: this machine
    share: float = 1.0  # share of a GPU for each run, on a cluster
    say: Callable[[str], None] = lambda line: None  # shows a message to the user


# Yields the record of each finished run, already published, without trace and tensors. A failure of one run is in its
# record; an UnusableError ends everything, because every other run would fail as well.
Executor = Callable[[Sequence[PlannedRun], Store, ExecutionOptions], Iterator[Record]]


@dataclass
class Attempt:
    """A run to be done, and the failures of earlier attempts."""

    planned: PlannedRun
    deaths: list[str] = field(default_factory=list)  # causes of death of the processes that tried it

    def provenance(self, isolation: str) -> dict[str, str]:
        """Return the entries about the execution for a record's versions."""
        return {"isolation": isolation} | ({"deaths": "; ".join(self.deaths)} if self.deaths else {})


@dataclass(frozen=True)
class LostRun:
    """A run without a record: its process died, or was killed at its time limit."""

    why: str
    late: bool = False
    pid: int = 0  # process id, if on this machine


class Queue:
    """Queue of waiting runs. Runs that another command on the same folder does come last."""

    def __init__(self, planned: Iterable[PlannedRun], store: Store, say: Callable[[str], None] = lambda line: None):
        self._waiting = deque(Attempt(p) for p in planned)
        self._watch, self._next_refresh = heartbeat.Watch(store.folder), 0.0
        self._busy: dict[str, heartbeat.StoredHeartbeat] = {}
        self._report, self._idle_since, self._next_message = say, 0.0, PATIENCE
        self.store = store

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self) -> Attempt | None:
        """Return the next run; None if other processes do all waiting runs at the moment."""
        if time.monotonic() > self._next_refresh:
            self._refresh()
        attempt = self._pop_free()
        if attempt is None and self._waiting:
            self._refresh()
            attempt = self._pop_free()
        if attempt is not None:
            self._idle_since, self._next_message = 0.0, PATIENCE
        return attempt

    def requeue(self, attempt: Attempt) -> None:
        """Add an attempt to the queue again."""
        self._waiting.append(attempt)

    def wait(self) -> None:
        """Sleep while other processes do all waiting runs; report this at first, and then rarely."""
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        beats = [beat for a in self._waiting if (beat := self._busy.get(a.planned.spec.key))]
        if beats and now - self._idle_since >= self._next_message:
            self._next_message = max(SECOND_MESSAGE, 2 * self._next_message)
            self._report(heartbeat.waiting(beats[0], len(beats)))
        time.sleep(PAUSE)

    def _refresh(self) -> None:
        begun = time.monotonic()
        self._busy = self._watch.busy()
        self._next_refresh = begun + max(EVERY, (time.monotonic() - begun) / PART)

    def _pop_free(self) -> Attempt | None:
        for attempt in self._waiting:
            if attempt.planned.spec.key not in self._busy:
                self._waiting.remove(attempt)
                return attempt
        return None
