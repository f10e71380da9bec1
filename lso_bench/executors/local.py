"""Runs in processes of this machine, a process a run or a process for many."""

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lso_bench.executors import Attempt, ExecutionOptions, LostRun, Queue
from lso_bench.executors.pool import Pool, Task
from lso_bench.executors.resources import gpu_of
from lso_bench.executors.worker import outcome, publish, work
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.run import Place
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

# Of the process that runs are forked from: what nearly every run imports.
PRELOAD = [
    "lso_bench.executors.parent_death",
    "__main__",
    "torch._dynamo",
    "lso_bench.vae.datasets.glyphs",
    "lso_bench.vae.judges",
    "scipy.ndimage",
    "pandas.io.formats.csvs",
    "pyarrow.pandas_compat",
    __name__,
]
_loaded = Loaded()  # in a worker process: what its runs have read so far


def local(planned: Sequence[PlannedRun], store: Store, options: ExecutionOptions) -> Iterator[Record]:
    """The record of each as it is done, by `how.jobs` processes at a time.

    A process that dies is replaced, and its run tried again; one that takes too long is ended, and its run recorded
    as `timeout`.

    Raises:
        UnusableError: no process can be started, or a run cannot go on, nor could others.
    """
    heartbeat.clear(store.folder)
    _settle_environment(options.threads)
    queue, pool = Queue(planned, store, options.say), Pool(options, _task(store, options), PRELOAD)
    try:
        while queue or pool.busy:
            while pool.busy < options.jobs and (attempt := queue.take()):
                pool.submit(attempt)
            if not pool.busy:
                queue.wait()
                continue
            for attempt, answer in pool.finished(len(queue)):
                _forget(store, attempt, answer)
                if (record := outcome(answer, attempt, store, options)) is not None:
                    yield record
                else:
                    queue.requeue(attempt)
    finally:
        for attempt, answer in pool.stop():
            _forget(store, attempt, answer)


def _settle_environment(threads: int) -> None:
    """What the processes inherit before they import torch."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no processes beside ours


def _forget(store: Store, attempt: Attempt, answer: Record | LostRun) -> None:
    if isinstance(answer, LostRun):
        heartbeat.remove(store.folder, attempt.planned.spec.key, socket.gethostname(), answer.pid)


def _task(store: Store, options: ExecutionOptions) -> Any:
    """What a process is to do of an attempt, by its slot."""

    def task(attempt: Attempt, slot: int) -> Task:
        place = replace(options.place, device=f"cuda:{gpu_of(slot, options.gpus)}") if options.gpus else options.place
        return _carry_out, (attempt.planned, store.folder, place, attempt.provenance(options.isolation))

    return task


def _carry_out(planned: PlannedRun, folder: Path, place: Place, beside: dict[str, Any]) -> Record:
    """In a worker process: one run."""
    if place.device.startswith("cuda:"):
        torch.cuda.set_device(place.device)
    store = Store(folder)
    try:
        return work(planned, store, place, _loaded, beside)
    except SystemExit as error:  # raised by a plugin: no signal ends this process in order
        return publish(Record(planned.spec, "failed", versions=beside, error=f"SystemExit: {error}"), store)
