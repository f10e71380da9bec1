"""Runs in processes of this machine, one process a run or one process for many runs."""

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
from lso_bench.files.remarks import share_remarks
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.placement import Placement
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

# Modules that the fork server imports, because nearly every run needs them.
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
_loaded = Loaded()  # in a worker process: cache of what its runs have read


def local(planned: Sequence[PlannedRun], store: Store, options: ExecutionOptions) -> Iterator[Record]:
    """Yield the record of each finished run, with `options.jobs` processes at a time.

    A process that dies is replaced, and its run tried again. A process that exceeds the time limit is killed, and its
    run recorded as `timeout`.

    Raises:
        UnusableError: no process can be started, or a run cannot go on and others could not either.
    """
    heartbeat.clear(store.folder)
    _set_environment(options.threads)
    queue, pool = Queue(planned, store, options.say), Pool(options, _task_factory(store, options), PRELOAD)
    try:
        while queue or pool.busy:
            while pool.busy < options.jobs and (attempt := queue.take()):
                pool.submit(attempt)
            if not pool.busy:
                queue.wait()
                continue
            for attempt, answer in pool.finished(len(queue)):
                _remove_heartbeat(store, attempt, answer)
                if (record := outcome(answer, attempt, store, options)) is not None:
                    yield record
                else:
                    queue.requeue(attempt)
    finally:
        for attempt, answer in pool.stop():
            _remove_heartbeat(store, attempt, answer)


def _set_environment(threads: int) -> None:
    """Set the environment variables that processes inherit before they import torch."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no extra processes
    share_remarks()


def _remove_heartbeat(store: Store, attempt: Attempt, answer: Record | LostRun) -> None:
    if isinstance(answer, LostRun):
        heartbeat.remove(store.folder, attempt.planned.spec.key, socket.gethostname(), answer.pid)


def _task_factory(store: Store, options: ExecutionOptions) -> Any:
    """Return a function from an attempt and a slot to the task of a process."""

    def task(attempt: Attempt, slot: int) -> Task:
        place = replace(options.place, device=f"cuda:{gpu_of(slot, options.gpus)}") if options.gpus else options.place
        return _carry_out, (attempt.planned, store.folder, place, attempt.provenance(options.isolation))

    return task


def _carry_out(planned: PlannedRun, folder: Path, place: Placement, provenance: dict[str, Any]) -> Record:
    """Carry out one run in a worker process."""
    if place.device.startswith("cuda:"):
        torch.cuda.set_device(place.device)
    store = Store(folder)
    try:
        return work(planned, store, place, _loaded, provenance)
    except SystemExit as error:  # raised by a plugin: signals do not raise SystemExit in this process
        return publish(Record(planned.spec, "failed", versions=provenance, error=f"SystemExit: {error}"), store)
