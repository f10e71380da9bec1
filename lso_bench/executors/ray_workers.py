"""The workers of a study on a Ray cluster: as many as there is room for, each with one thing to do at a time."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import lso_bench
from lso_bench.errors import LsoBenchError, UnusableError
from lso_bench.executors import Attempt, ExecutionOptions, LostRun
from lso_bench.executors.remote_worker import Job, MissingWeights, Worker, WorkerInfo
from lso_bench.record import Record
from lso_bench.store import heartbeat
from lso_bench.vae.errors import UnusableError as VaeUnusableError

LOOK = 0.5  # seconds between two looks at the time limits, when nothing ends
ROOM = 10.0  # seconds between two looks at how large the cluster is
START = 600.0  # seconds in which a worker must be up
STARTS = 3  # workers in a row that may die before they are up


@dataclass(eq=False)
class RayWorker:
    """A worker as the crew sees it."""

    actor: Any
    info: WorkerInfo | None = None  # None: not up yet
    attempt: Attempt | None = None  # what it does
    since: float = 0.0  # when it began, seconds


class RayPool:
    """Workers on a cluster.

    Args:
        ray: the module, connected.
        mark: a folder in tmp/ of the results, by which a worker tells whether it sees the same.
    """

    def __init__(self, ray: Any, options: ExecutionOptions, mark: Path):
        self._ray, self._options, self._mark = ray, options, mark
        self.idle: list[RayWorker] = []
        self._asked: dict[Future[Any], RayWorker] = {}  # by the answer that will come
        self._answers: SimpleQueue[Future[Any]] = SimpleQueue()  # that have come
        self._room, self._looked = 0, -ROOM
        self._manned, self._died = time.monotonic(), 0  # when a worker was last up; those that died before they were
        self._actors = ray.remote(Worker).options(
            num_cpus=options.threads,
            num_gpus=options.share if options.place.device == "cuda" else 0,
            memory=options.memory,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": _environment(options.threads)},
        )

    @property
    def busy(self) -> int:
        """How many do a run."""
        return sum(h.attempt is not None for h in self._asked.values())

    def scale(self, waiting: int) -> None:
        """As many workers as so many runs need and the cluster has room for; those without anything to do go."""
        if not waiting:
            while self.idle:
                self._dismiss(self.idle.pop())
        wanted = min(self._options.jobs or self._size(), waiting + self.busy)
        for _ in range(wanted - len(self._asked) - len(self.idle)):
            worker = RayWorker(self._actors.remote())
            self._ask(worker, worker.actor.handshake.remote(self._mark, self._options.threads, self._options.memory))
        if self.idle or self.busy or not waiting:
            self._manned = time.monotonic()
        elif time.monotonic() - self._manned > START:
            raise UnusableError(
                f"No worker on Ray at {self._options.address} within {START:.0f} s; `ray status` shows what has no room."
            )

    def submit(self, job: Job, attempt: Attempt, weights: Any = None) -> None:
        """Let one that is idle do it; `weights`: a reference to the bytes of its checkpoint, if they are wanted."""
        worker = self.idle.pop()
        worker.attempt, worker.since = attempt, time.monotonic()
        self._ask(worker, worker.actor.run.remote(job, weights))

    def _ask(self, worker: RayWorker, ref: Any) -> None:
        """Its answer will come; Ray's own waiting would turn a signal into another."""
        future = ref.future()
        self._asked[future] = worker
        future.add_done_callback(self._answers.put)

    def finished(self) -> Iterator[tuple[Attempt, Record | MissingWeights | LostRun, bool]]:
        """What ended since the last look, within LOOK seconds; with a record whether it is published already.

        Raises:
            UnusableError: no worker can start, or none can go on.
        """
        with suppress(Empty):
            future = self._answers.get(timeout=LOOK)
            if (worker := self._asked.pop(future, None)) is not None:  # None: of one that was ended
                yield from self._answered(worker, self._answer(future, worker))
        yield from self._late()

    def _answered(
        self, worker: RayWorker, answer: Any
    ) -> Iterator[tuple[Attempt, Record | MissingWeights | LostRun, bool]]:
        attempt, worker.attempt = worker.attempt, None
        if attempt is None or worker.info is None:
            self._up(worker, answer)
            return
        if isinstance(answer, LostRun) or (self._options.isolation == "run" and isinstance(answer, Record)):
            self._dismiss(worker, attempt)
        else:
            self.idle.append(worker)
        yield attempt, answer, worker.info.shared

    def stop(self) -> None:
        """What runs is dropped."""
        for worker in (*self._asked.values(), *self.idle):
            self._dismiss(worker, worker.attempt)

    def _late(self) -> Iterator[tuple[Attempt, LostRun, bool]]:
        limit, now = self._options.timeout, time.monotonic()
        for future, worker in list(self._asked.items()):
            if limit is not None and worker.attempt is not None and now - worker.since > limit:
                del self._asked[future]
                self._dismiss(worker, worker.attempt)
                yield worker.attempt, LostRun(f"no end within the time limit, {limit:g} s", late=True), False

    def _answer(self, future: Future[Any], worker: RayWorker) -> Any:
        errors = self._ray.exceptions
        try:
            return future.result()
        except errors.RayTaskError as error:
            if worker.info is None:
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {_last_line(error)}") from error
            if isinstance(error.cause, LsoBenchError | VaeUnusableError):
                raise UnusableError(f"{error.cause} (on {worker.info.host})") from error
            raise
        except errors.RayError as error:
            if worker.info is None and "creation task" in str(error):  # Ray's word for an import that fails
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {_last_line(error)}") from error
            return LostRun(_death(error))

    def _up(self, worker: RayWorker, answer: WorkerInfo | LostRun) -> None:
        """A worker has said what it sees, or died before."""
        if isinstance(answer, LostRun):
            self._died += 1
            if self._died >= STARTS:
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {answer.why}")
            return
        if answer.version != lso_bench.__version__:
            raise UnusableError(
                f"{answer.host} has lso-bench {answer.version}, and this is {lso_bench.__version__}; install the same."
            )
        self._died, worker.info = 0, answer
        self.idle.append(worker)

    def _dismiss(self, worker: RayWorker, attempt: Attempt | None = None) -> None:
        """It ends at once, whatever it does."""
        self._ray.kill(worker.actor)
        if attempt is not None and worker.info is not None:
            heartbeat.remove(self._mark.parents[1], attempt.planned.spec.key, worker.info.host, worker.info.pid)

    def _size(self) -> int:
        """How many workers the cluster has room for; at least one, for which it may grow."""
        if time.monotonic() - self._looked > ROOM:
            has = self._ray.cluster_resources()
            rooms = [has.get("CPU", 0) // self._options.threads]
            if self._options.place.device == "cuda":
                rooms.append(has.get("GPU", 0) * int(1 / self._options.share))
            self._room, self._looked = max(1, int(min(rooms))), time.monotonic()
        return self._room


def _environment(threads: int) -> dict[str, str]:
    """Of a worker, before it imports torch."""
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def _death(error: Exception) -> str:
    """Why a worker died, in short; Ray's own words go over many lines."""
    text = str(error)
    if "node has died" in text or type(error).__name__ == "NodeDiedError":
        return "its machine left the cluster"
    if type(error).__name__ == "OutOfMemoryError" or "memory pressure" in text:
        return "its process was ended by Ray, out of memory"
    if "unavailable" in text.lower():
        return "its machine or process no longer answers"
    return "its process died"


def _fails_to_start(address: str | None) -> str:
    return f"No worker can start on Ray at {address}; every machine needs this lso-bench and its packages"


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
