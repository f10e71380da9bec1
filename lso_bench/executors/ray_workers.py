"""Workers of a study on a Ray cluster: as many as there is room for, each with one run at a time."""

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

LOOK = 0.5  # seconds between two checks of the time limits, if no run finishes
CAPACITY_INTERVAL = 10.0  # seconds between two readings of the cluster's size
START = 600.0  # seconds within which a worker must start
STARTS = 3  # consecutive workers that may die before they are up


@dataclass(eq=False)
class RayWorker:
    """State of a worker of the pool."""

    actor: Any
    info: WorkerInfo | None = None  # None: not up yet
    attempt: Attempt | None = None  # current run
    since: float = 0.0  # start of the run, monotonic seconds


class RayPool:
    """Workers on a cluster.

    Args:
        ray: the module, connected.
        marker: a folder in tmp/ of the results, by which a worker recognises the same file system.
    """

    def __init__(self, ray: Any, options: ExecutionOptions, marker: Path):
        self._ray, self._options, self._marker = ray, options, marker
        self.idle: list[RayWorker] = []
        self._futures: dict[Future[Any], RayWorker] = {}  # by the future of their answer
        self._answers: SimpleQueue[Future[Any]] = SimpleQueue()  # futures that are done
        self._capacity, self._capacity_read = 0, -CAPACITY_INTERVAL
        self._last_manned, self._failed_starts = (
            time.monotonic(),
            0,
        )  # time of the last worker that was up; consecutive failed starts
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
        """Number of workers that do a run."""
        return sum(w.attempt is not None for w in self._futures.values())

    def scale(self, waiting: int) -> None:
        """Start as many workers as the runs need and the cluster has room for; dismiss idle workers if no run waits.

        Raises:
            UnusableError: no worker has started for START seconds.
        """
        if not waiting:
            while self.idle:
                self._dismiss(self.idle.pop())
        target = min(self._options.jobs or self._cluster_capacity(), waiting + self.busy)
        for _ in range(target - len(self._futures) - len(self.idle)):
            worker = RayWorker(self._actors.remote())
            handshake = worker.actor.handshake.remote(self._marker, self._options.threads, self._options.memory)
            self._await(worker, handshake)
        if self.idle or self.busy or not waiting:
            self._last_manned = time.monotonic()
        elif time.monotonic() - self._last_manned > START:
            raise UnusableError(
                f"No worker on Ray at {self._options.address} within {START:.0f} s; "
                "`ray status` shows what has no room."
            )

    def submit(self, job: Job, attempt: Attempt, weights: Any = None) -> None:
        """Give a job to an idle worker; `weights` is a reference to the bytes of a checkpoint that it lacks."""
        worker = self.idle.pop()
        worker.attempt, worker.since = attempt, time.monotonic()
        self._await(worker, worker.actor.run.remote(job, weights))

    def _await(self, worker: RayWorker, ref: Any) -> None:
        """Register the answer as a future; Ray's own waiting would replace the exception of a signal."""
        future = ref.future()
        self._futures[future] = worker
        future.add_done_callback(self._answers.put)

    def finished(self) -> Iterator[tuple[Attempt, Record | MissingWeights | LostRun, bool]]:
        """Yield attempts that finished since the last call; the flag says whether a record is published.

        The method waits up to LOOK seconds for one.

        Raises:
            UnusableError: no worker can start, or none can go on.
        """
        with suppress(Empty):
            future = self._answers.get(timeout=LOOK)
            if (worker := self._futures.pop(future, None)) is not None:  # None: the worker was dismissed
                yield from self._handle_answer(worker, self._answer(future, worker))
        yield from self._handle_timeouts()

    def _handle_answer(
        self, worker: RayWorker, answer: Any
    ) -> Iterator[tuple[Attempt, Record | MissingWeights | LostRun, bool]]:
        attempt, worker.attempt = worker.attempt, None
        if attempt is None or worker.info is None:
            self._handle_start(worker, answer)
            return
        if isinstance(answer, LostRun) or (self._options.isolation == "run" and isinstance(answer, Record)):
            self._dismiss(worker, attempt)
        else:
            self.idle.append(worker)
        yield attempt, answer, worker.info.shared

    def stop(self) -> None:
        """Dismiss all workers, and drop their runs."""
        for worker in (*self._futures.values(), *self.idle):
            self._dismiss(worker, worker.attempt)

    def _handle_timeouts(self) -> Iterator[tuple[Attempt, LostRun, bool]]:
        limit, now = self._options.timeout, time.monotonic()
        for future, worker in list(self._futures.items()):
            if limit is not None and worker.attempt is not None and now - worker.since > limit:
                del self._futures[future]
                self._dismiss(worker, worker.attempt)
                yield worker.attempt, LostRun(f"no end within the time limit, {limit:g} s", late=True), False

    def _answer(self, future: Future[Any], worker: RayWorker) -> Any:
        errors = self._ray.exceptions
        try:
            return future.result()
        except errors.RayTaskError as error:
            if worker.info is None:
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {_last_line(error)}") from error
            if isinstance(error.cause, LsoBenchError):
                raise UnusableError(f"{error.cause} (on {worker.info.host})") from error
            raise
        except errors.RayError as error:
            if worker.info is None and "creation task" in str(error):  # Ray's text for a failing import
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {_last_line(error)}") from error
            return LostRun(_death_reason(error))

    def _handle_start(self, worker: RayWorker, answer: WorkerInfo | LostRun) -> None:
        """Process the first answer of a worker: its information, or its death."""
        if isinstance(answer, LostRun):
            self._failed_starts += 1
            if self._failed_starts >= STARTS:
                raise UnusableError(f"{_fails_to_start(self._options.address)}: {answer.why}")
            return
        if answer.version != lso_bench.__version__:
            raise UnusableError(
                f"{answer.host} has lso-bench {answer.version}, and this is {lso_bench.__version__}; install the same."
            )
        self._failed_starts, worker.info = 0, answer
        self.idle.append(worker)

    def _dismiss(self, worker: RayWorker, attempt: Attempt | None = None) -> None:
        """Kill a worker at once."""
        self._ray.kill(worker.actor)
        if attempt is not None and worker.info is not None:
            heartbeat.remove(self._marker.parents[1], attempt.planned.spec.key, worker.info.host, worker.info.pid)

    def _cluster_capacity(self) -> int:
        """Return the number of workers that the cluster has room for; at least one, because a cluster may grow."""
        if time.monotonic() - self._capacity_read > CAPACITY_INTERVAL:
            resources = self._ray.cluster_resources()
            capacities = [resources.get("CPU", 0) // self._options.threads]
            if self._options.place.device == "cuda":
                capacities.append(resources.get("GPU", 0) * int(1 / self._options.share))
            self._capacity, self._capacity_read = max(1, int(min(capacities))), time.monotonic()
        return self._capacity


def _environment(threads: int) -> dict[str, str]:
    """Return the environment variables of a worker, set before it imports torch."""
    return {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def _death_reason(error: Exception) -> str:
    """Describe why a worker died, in short; Ray's own message has many lines."""
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
