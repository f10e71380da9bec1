"""Pool of processes of this machine, each with one run at a time.

The processes are forked from one that has imported torch. Each has a pipe of its own to the pool. Nothing is shared
between processes: no lock, no semaphore, no thread. So a process can be killed at any moment without harm to the
others.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any
from warnings import catch_warnings

from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors import Attempt, ExecutionOptions, LostRun
from lso_bench.executors.fork_server import TERMINAL, answer, start_server
from lso_bench.executors.worker import settle
from lso_bench.limits import memory_kills
from lso_bench.store import process_identity

Task = tuple[Callable[..., Any], Sequence[Any]]  # a function at the top of a module, and its arguments

LOOK = 0.5  # seconds between two checks for dead or late processes
GRACE = 2.0  # seconds that a process has to end when asked to
SPARE = 2  # idle processes that stand ready, if each run has its own process
STARTS = 3  # consecutive processes that may die before they are ready
UNGUARDED = 79  # exit status of a process whose script would start the study again


@dataclass(eq=False)
class _Worker:
    """State of a process of the pool."""

    process: BaseProcess
    identity: process_identity.Process
    pipe: connection.Connection
    ready: bool = False  # ready to do a run
    attempt: Attempt | None = None  # current run
    slot: int = 0  # its number among the busy processes
    deadline: float | None = None  # time limit on the monotonic clock


class Pool:
    """Processes that do runs, never more than there are runs.

    Args:
        options: the number of processes (`jobs`), and for each `threads`, `memory`, `timeout` and `isolation`.
        task: returns the task of an attempt for a process in a slot (0, 1, ... `jobs` - 1).
        preload: modules that the fork server imports.
    """

    def __init__(self, options: ExecutionOptions, task: Callable[[Attempt, int], Task], preload: list[str]):
        self._options, self._task = options, task
        self._workers: list[_Worker] = []
        self._pending = deque[Attempt]()  # attempts that no process has begun yet
        self._max_workers, self._failed_starts = options.jobs + (SPARE if options.isolation == "run" else 0), 0
        self._memory_kills = memory_kills()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(preload)

    @property
    def busy(self) -> int:
        """Number of submitted attempts that are not finished."""
        return len(self._pending) + sum(w.attempt is not None for w in self._workers)

    def submit(self, attempt: Attempt) -> None:
        """Queue an attempt for the next ready process."""
        self._pending.append(attempt)

    def finished(self, waiting: int) -> Iterator[tuple[Attempt, Any]]:
        """Yield attempts that finished since the last call, each with its record or `LostRun`.

        The method waits up to LOOK seconds for one.

        Args:
            waiting: number of attempts that will be submitted later.

        Raises:
            UnusableError: no process can be started.
            UsageError: the processes import a script that starts the study again.
            Exception: any exception of the task of an attempt.
        """
        self._ensure_workers(min(self._max_workers, self.busy + waiting))
        self._hand_out()
        ready = connection.wait([w.pipe for w in self._workers], LOOK)
        for worker in list(self._workers):
            if worker.pipe in ready:
                yield from self._receive(worker)
            elif worker.identity.gone and not worker.pipe.poll(0):
                yield from self._handle_death(worker)
            elif worker.deadline is not None and time.monotonic() > worker.deadline:
                yield from self._handle_timeout(worker)

    def stop(self) -> list[tuple[Attempt, LostRun]]:
        """End all processes; return the attempts that they were doing."""
        lost_runs = [(w.attempt, LostRun("ended", pid=w.identity.pid)) for w in self._workers if w.attempt is not None]
        _stop(self._workers)
        self._workers.clear()
        self._pending.clear()
        for process in multiprocessing.active_children():  # a start that a signal interrupted
            if process.name == __name__:
                process.kill()
        return lost_runs

    def _ensure_workers(self, number: int) -> None:
        """Start processes until `number` of them exist, not counting those that leave."""
        while sum(not _is_leaving(w) for w in self._workers) < number:
            try:
                self._workers.append(self._start_worker())
            except (OSError, EOFError) as error:
                self._max_workers = max(1, len(self._workers))  # the system allows no more
                self._count_failed_start(str(error) or "the process that all are forked from ended")
                return

    def _start_worker(self) -> _Worker:
        parent_end, child_end = self._context.Pipe()
        arguments = child_end, self._options.threads, self._options.memory, self._options.isolation == "run"
        process = self._context.Process(target=_serve, args=arguments, name=__name__)
        with catch_warnings(action="ignore"):  # about a killed resource tracker, which is restarted
            start_server()
            process.start()
        child_end.close()
        assert process.pid is not None
        return _Worker(process, process_identity.process(process.pid), parent_end)

    def _hand_out(self) -> None:
        """Send pending attempts to ready processes."""
        used_slots = {w.slot for w in self._workers if w.attempt is not None}
        for worker in self._workers:
            if worker.ready and self._pending and len(used_slots) < self._options.jobs:
                worker.slot = next(i for i in range(self._options.jobs) if i not in used_slots)
                used_slots.add(worker.slot)
                worker.attempt, worker.ready = self._pending.popleft(), False
                worker.deadline = self._options.timeout and time.monotonic() + self._options.timeout
                with suppress(OSError):  # it has died; its last message is read later
                    worker.pipe.send(self._task(worker.attempt, worker.slot))

    def _receive(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        try:
            message = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._handle_death(worker)
            return
        if isinstance(message, Exception):
            raise message
        if (attempt := worker.attempt) is None:  # the first message says that it is ready
            worker.ready, self._failed_starts = True, 0
            return
        worker.attempt, worker.deadline = None, None
        if self._options.isolation == "run":
            worker.deadline = time.monotonic() + GRACE
        else:
            worker.ready = True
        yield attempt, message

    def _handle_death(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        self._workers.remove(worker)
        worker.process.join(GRACE)
        why = _death_reason(worker.process.exitcode, self._memory_kills)
        _stop([worker])  # in case it closed its pipe and still runs
        if worker.attempt is not None:
            yield worker.attempt, LostRun(why, pid=worker.identity.pid)
        elif worker.process.exitcode == UNGUARDED:
            raise UsageError(
                "This script starts a study where its own processes import it; start it below "
                '`if __name__ == "__main__":`, or say isolation="none".'
            )
        elif not (worker.ready or _is_leaving(worker)):
            self._count_failed_start(why)

    def _count_failed_start(self, why: str) -> None:
        """Count a process that could not start.

        Raises:
            UnusableError: too many failed in a row.
        """
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            raise UnusableError(
                f"No process for runs can be started here ({why}); end others, or say --isolation none."
            )

    def _handle_timeout(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        self._workers.remove(worker)
        _stop([worker])
        if worker.attempt is not None:
            reason = f"no end within the time limit, {self._options.timeout:g} s"
            yield worker.attempt, LostRun(reason, late=True, pid=worker.identity.pid)


def end_if_imported() -> None:
    """End a process of a pool that is importing the script which made the pool."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself tells
        os._exit(UNGUARDED)  # the fork server gives status 1 to a process that raises


def _is_leaving(worker: _Worker) -> bool:
    """Return whether a process has done its run and ends by itself."""
    return worker.attempt is None and worker.deadline is not None


def _stop(workers: Sequence[_Worker]) -> None:
    """Ask processes to end, and kill those that do not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE
        for worker in workers:
            if not worker.identity.gone:
                with suppress(ProcessLookupError):
                    os.kill(worker.identity.pid, number)
        while time.monotonic() < deadline and not all(w.identity.gone for w in workers):
            time.sleep(0.01)
    for worker in workers:
        worker.pipe.close()
        worker.process.join(0)


def _death_reason(status: int | None, kills: int) -> str:
    """Describe why a process died.

    Args:
        status: its exit status.
        kills: number of processes that the system had killed for lack of memory before.
    """
    if not status:
        return "its process ended without an answer"
    if status > 0:
        return f"its process ended with status {status}"
    name = signal.Signals(-status).name
    if name == "SIGKILL" and memory_kills() > kills:
        return "its process was killed by the system (SIGKILL), out of memory"
    return f"its process was killed by {name}"


def _serve(pipe: connection.Connection, threads: int, memory: int | None, once: bool) -> None:
    """Serve tasks in a process of the pool, until the other end closes the pipe."""
    for number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    Thread(target=_exit_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(answer(lambda: settle(threads, memory)))
        while True:
            function, arguments = pipe.recv()
            pipe.send(answer(lambda f=function, a=arguments: f(*a)))
            if once:
                return


def _exit(*_: Any) -> None:
    """Exit at once, and kill the processes that a plugin has started."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + signal.SIGTERM)


def _exit_with_parent() -> None:
    """Exit this process when its parent is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _exit()
