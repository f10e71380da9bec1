"""Processes of this machine that do runs: forked from one that has imported torch, each with one run at a time.

Each has a pipe of its own to the process that wants its answers, and nothing is shared among them: no lock, no
semaphore, no thread. So one can be ended at any moment without harm to the others.
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

from lso_bench.errors import UnusableError
from lso_bench.executors import Attempt, ExecutionOptions, LostRun
from lso_bench.executors.fork_server import TERMINAL, answer, start_server
from lso_bench.executors.worker import settle
from lso_bench.limits import memory_kills
from lso_bench.store import process_identity

Task = tuple[Callable[..., Any], Sequence[Any]]  # a function of a module, and its arguments

LOOK = 0.5  # seconds between two looks for processes that are gone or late
GRACE = 2.0  # seconds in which a process must end when it is asked to
SPARE = 2  # processes that stand ready beside those that work, where each run has its own
STARTS = 3  # processes in a row that may die before they are ready


@dataclass(eq=False)
class _Worker:
    """A process as the pool sees it."""

    process: BaseProcess
    identity: process_identity.Process
    pipe: connection.Connection
    ready: bool = False  # to do a run
    attempt: Attempt | None = None  # what it does
    slot: int = 0  # its number among those that work
    until: float | None = None  # when it is late, on the monotonic clock


class Pool:
    """Processes that do runs, no more of them than there are runs.

    Args:
        how: how many at a time (`jobs`), each with which `threads`, `memory`, `timeout` and `isolation`.
        task: what a process in a slot (0, 1, ... `jobs` - 1) does of an attempt.
        preload: modules that the process imports which all are forked from.
    """

    def __init__(self, options: ExecutionOptions, task: Callable[[Attempt, int], Task], preload: list[str]):
        self._options, self._task = options, task
        self._workers: list[_Worker] = []
        self._given = deque[Attempt]()  # what no process has begun yet
        self._most, self._failed = options.jobs + (SPARE if options.isolation == "run" else 0), 0
        self._kills = memory_kills()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(preload)

    @property
    def busy(self) -> int:
        """How many attempts were given and are not over."""
        return len(self._given) + sum(w.attempt is not None for w in self._workers)

    def submit(self, attempt: Attempt) -> None:
        """Let it be done as soon as a process is ready."""
        self._given.append(attempt)

    def finished(self, waiting: int) -> Iterator[tuple[Attempt, Any]]:
        """Attempts that ended since the last look, each with its record or `Lost`; waits LOOK seconds for one.

        Args:
            waiting: how many will be given later.

        Raises:
            UnusableError: no process can be started.
            Exception: whatever the task of an attempt raised.
        """
        self._start(min(self._most, self.busy + waiting))
        self._hand_out()
        ready = connection.wait([w.pipe for w in self._workers], LOOK)
        for worker in list(self._workers):
            if worker.pipe in ready:
                yield from self._heard(worker)
            elif worker.identity.gone and not worker.pipe.poll(0):
                yield from self._died(worker)
            elif worker.until is not None and time.monotonic() > worker.until:
                yield from self._late(worker)

    def stop(self) -> list[tuple[Attempt, LostRun]]:
        """End all processes; what they were doing."""
        lost = [(w.attempt, LostRun("ended", pid=w.identity.pid)) for w in self._workers if w.attempt is not None]
        _stop(self._workers)
        self._workers.clear()
        self._given.clear()
        for process in multiprocessing.active_children():  # of a start that a signal broke off
            if process.name == __name__:
                process.kill()
        return lost

    def _start(self, number: int) -> None:
        """Have as many processes, those that leave not counted."""
        while sum(not _leaves(w) for w in self._workers) < number:
            try:
                self._workers.append(self._started())
            except (OSError, EOFError) as error:
                self._most = max(1, len(self._workers))  # there is no room for more
                self._fail(str(error) or "the process that all are forked from ended")
                return

    def _started(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        arguments = theirs, self._options.threads, self._options.memory, self._options.isolation == "run"
        process = self._context.Process(target=_serve, args=arguments, name=__name__)
        with catch_warnings(action="ignore"):  # of a resource tracker that was killed, and is started anew
            start_server()
            process.start()
        theirs.close()
        assert process.pid is not None
        return _Worker(process, process_identity.process(process.pid), ours)

    def _hand_out(self) -> None:
        """Give attempts to processes that are ready."""
        taken = {w.slot for w in self._workers if w.attempt is not None}
        for worker in self._workers:
            if worker.ready and self._given and len(taken) < self._options.jobs:
                worker.slot = next(i for i in range(self._options.jobs) if i not in taken)
                taken.add(worker.slot)
                worker.attempt, worker.ready = self._given.popleft(), False
                worker.until = self._options.timeout and time.monotonic() + self._options.timeout
                with suppress(OSError):  # it has died; what it says last is heard later
                    worker.pipe.send(self._task(worker.attempt, worker.slot))

    def _heard(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._died(worker)
            return
        if isinstance(answer, Exception):
            raise answer
        if (attempt := worker.attempt) is None:  # its first word
            worker.ready, self._failed = True, 0
            return
        worker.attempt, worker.until = None, None
        if self._options.isolation == "run":
            worker.until = time.monotonic() + GRACE
        else:
            worker.ready = True
        yield attempt, answer

    def _died(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        self._workers.remove(worker)
        worker.process.join(GRACE)
        why = _death(worker.process.exitcode, self._kills)
        _stop([worker])  # where it has closed its pipe and goes on
        if worker.attempt is not None:
            yield worker.attempt, LostRun(why, pid=worker.identity.pid)
        elif not (worker.ready or _leaves(worker)):
            self._fail(why)

    def _fail(self, why: str) -> None:
        """A process could not start."""
        self._failed += 1
        if self._failed >= STARTS:
            raise UnusableError(f"No process for runs can be started here ({why}); end others, or say --jobs 1.")

    def _late(self, worker: _Worker) -> Iterator[tuple[Attempt, Any]]:
        self._workers.remove(worker)
        _stop([worker])
        if worker.attempt is not None:
            limit = f"no end within the time limit, {self._options.timeout:g} s"
            yield worker.attempt, LostRun(limit, late=True, pid=worker.identity.pid)


def _leaves(worker: _Worker) -> bool:
    """Whether it has done its run and ends by itself."""
    return worker.attempt is None and worker.until is not None


def _stop(workers: Sequence[_Worker]) -> None:
    """Ask processes to end, and end those that do not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE
        for worker in workers:
            if not worker.identity.gone:
                with suppress(ProcessLookupError):
                    os.kill(worker.identity.pid, number)
        while time.monotonic() < until and not all(w.identity.gone for w in workers):
            time.sleep(0.01)
    for worker in workers:
        worker.pipe.close()
        worker.process.join(0)


def _death(status: int | None, kills: int) -> str:
    """Why a process died, by its exit status and how many processes the system had ended before for want of memory."""
    if not status:
        return "its process ended without an answer"
    if status > 0:
        return f"its process ended with status {status}"
    name = signal.Signals(-status).name
    if name == "SIGKILL" and memory_kills() > kills:
        return "its process was killed by the system (SIGKILL), out of memory"
    return f"its process was killed by {name}"


def _serve(pipe: connection.Connection, threads: int, memory: int | None, once: bool) -> None:
    """In a process of the pool: do what comes through the pipe, until it is closed at the other end."""
    for number in TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_outlive_nobody, daemon=True).start()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(answer(lambda: settle(threads, memory)))
        while True:
            function, arguments = pipe.recv()
            pipe.send(answer(lambda f=function, a=arguments: f(*a)))
            if once:
                return


def _leave(*_: Any) -> None:
    """End at once, with the processes that a plugin has started."""
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(128 + signal.SIGTERM)


def _outlive_nobody() -> None:
    """End this process when the one that wants its results is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    _leave()
