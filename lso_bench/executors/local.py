"""Runs in processes of this machine, forked from one that has imported torch: Pebble's pool."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import connection, forkserver
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from pebble import ProcessExpired, ProcessPool

from lso_bench import running
from lso_bench.executors import Attempt, How, Queue
from lso_bench.executors.machine import gpu_of, memory_kills
from lso_bench.executors.work import publish, settle, work
from lso_bench.loaded import Loaded
from lso_bench.record import Record
from lso_bench.run import Place
from lso_bench.store import Store
from lso_bench.study import Planned

UNHEARD = 3.0  # seconds between two looks for processes that are gone without an answer
SPARE = 2  # processes that stand ready beside those that work, where each run has its own
# Of the process that runs are forked from: what nearly every run imports.
PRELOAD = [
    "lso_bench.executors.bound",
    "__main__",
    "torch._dynamo",
    "vae.datasets.glyphs",
    "vae.judges",
    "scipy.ndimage",
    "pandas.io.formats.csvs",
    "pyarrow.pandas_compat",
    __name__,
]
_loaded = Loaded()  # in a worker process: what its runs have read so far


def local(planned: Sequence[Planned], store: Store, how: How) -> Iterator[Record]:
    """The record of each as it is done, by `how.jobs` processes at a time.

    A process that dies is replaced, and its run tried again; one that takes too long is ended, and its run recorded
    as `timeout`.
    """
    running.clear(store.folder)
    queue, slots, kills = Queue(planned, store, how.say), list(range(how.jobs)), memory_kills()
    busy: dict[Future[Record], tuple[Attempt, int]] = {}
    gone, look = set[str](), time.monotonic() + UNHEARD
    pool = _pool(how)
    try:
        while queue or busy:
            if not pool.active:  # a process died between two runs, which breaks Pebble's pool
                _end(pool)
                pool = _pool(how)
            while slots and (attempt := queue.take()):
                slot = slots.pop(0)
                busy[_started(pool, attempt, slot, store, how)] = attempt, slot
            if not busy:
                queue.wait()
            for future in wait(busy, UNHEARD, FIRST_COMPLETED).done:
                attempt, slot = busy.pop(future)
                slots.append(slot)
                if (record := _outcome(future, attempt, store, how, kills)) is not None:
                    yield record
                else:
                    queue.again(attempt)
            if time.monotonic() > look:
                gone, look = _unheard(busy, store, gone), time.monotonic() + UNHEARD
    finally:
        _end(pool)
        running.clear(store.folder)


def _pool(how: How) -> ProcessPool:
    os.environ["OMP_NUM_THREADS"] = str(how.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no processes beside ours
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for this process alone
    forkserver.ensure_running()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    spare, each = (SPARE, 1) if how.isolation == "run" else (0, 0)
    return ProcessPool(how.jobs + spare, each, initializer=_settle, initargs=(how.threads, how.memory), context=context)


def _end(pool: ProcessPool) -> None:
    """What runs is dropped."""
    pool.stop()
    pool.join()


def _started(pool: ProcessPool, attempt: Attempt, slot: int, store: Store, how: How) -> Future[Record]:
    place = replace(how.place, device=f"cuda:{gpu_of(slot, how.gpus)}") if how.gpus else how.place
    arguments = attempt.planned, store.folder, place, attempt.told(how.isolation)
    return pool.schedule(_carry_out, arguments, timeout=how.timeout)


def _unheard(busy: dict[Future[Record], tuple[Attempt, int]], store: Store, before: set[str]) -> set[str]:
    """The keys of runs whose process is gone; no longer waited for where it was gone `before`, too.

    Pebble takes a process that ends with status 0 for one that has answered.
    """
    alive, over = ({r.key for r in runs} for runs in running.read(store.folder))
    gone = over - alive
    for future, (attempt, _) in busy.items():
        if attempt.planned.spec.key in gone & before:
            future.cancel()
    return gone


def _outcome(future: Future[Record], attempt: Attempt, store: Store, how: How, kills: int) -> Record | None:
    """The record of a run that is over; None where its process died and it is to be tried again.

    Raises:
        UnusableError: it cannot go on, nor could others.
    """
    spec = attempt.planned.spec
    try:
        return future.result()
    except TimeoutError:
        why = f"no end within the time limit, {how.timeout:g} s"
        return publish(Record(spec, "timeout", versions=attempt.told(how.isolation), error=why), store)
    except (ProcessExpired, BrokenProcessPool, CancelledError) as error:
        attempt.deaths.append(_death(error, kills))
        if len(attempt.deaths) <= how.retries:
            return None
        why = f"{attempt.deaths[-1]}; tries: {len(attempt.deaths)}"
        return publish(Record(spec, "failed", versions=attempt.told(how.isolation), error=why), store)


def _death(error: Exception, kills: int) -> str:
    """Why a process died."""
    if isinstance(error, CancelledError):
        return "its process ended without an answer"
    if not isinstance(error, ProcessExpired):
        return "its pool of processes broke"
    if error.exitcode >= 0:
        return f"its process ended with status {error.exitcode}"
    name = signal.Signals(-error.exitcode).name
    if name == "SIGKILL" and memory_kills() > kills:
        return "its process was killed by the system (SIGKILL), out of memory"
    return f"its process was killed by {name}"


def _settle(threads: int, memory: int | None) -> None:
    """In a worker process, before its first run."""
    settle(threads, memory)
    Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    """End this process when the one that wants its results is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _carry_out(planned: Planned, folder: Path, place: Place, beside: dict[str, Any]) -> Record:
    """In a worker process: one run."""
    if place.device.startswith("cuda:"):
        torch.cuda.set_device(place.device)
    store = Store(folder)
    try:
        return work(planned, store, place, _loaded, beside)
    except SystemExit as error:  # raised by a plugin: no signal ends this process in order
        return publish(Record(planned.spec, "failed", versions=beside, error=f"SystemExit: {error}"), store)
