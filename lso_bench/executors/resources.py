"""How what this machine has is shared out among runs."""

import math
from dataclasses import dataclass

import torch

from lso_bench.errors import UsageError
from lso_bench.executors import ExecutionOptions
from lso_bench.limits import cores, memory, threads
from lso_bench.runner.run import Place

NEEDED = 2 * 2**30  # bytes that a run is reckoned to need
LEAST = 6 * 2**30 // 10  # bytes without which no run can do anything: the smallest takes 0.55 GB, 0.35 of it torch
USABLE = 0.9  # of the memory; the rest is the system's
LARGEST = 2**62  # bytes that a limit may be


@dataclass(frozen=True)
class RequestedResources:
    """What a user says of how runs are carried out; None: as the machine allows."""

    jobs: int | None = None
    timeout: float | None = None  # seconds
    retries: int = 1
    isolation: str | None = None
    memory: float | None = None  # GB a run
    share: float = 1.0  # of a GPU a run
    address: str | None = None  # of a cluster, instead of this machine


def jobs(runs: int, cores: int, memory: int, gpus: int = 0, share: float = 1.0) -> int:
    """How many of `runs` to do at the same time: one a core as long as the memory suffices; on GPUs as many as fit.

    It counts the whole memory, not what is free, so that the same command has the same threads the next time.
    """
    fit = gpus * int(1 / share) if gpus else min(cores, int(USABLE * memory) // NEEDED)
    return max(1, min(runs, fit))


def gpu_of(slot: int, gpus: int) -> int:
    """The GPU of the run in a slot (0, 1, ...): dealt in turn, so that a GPU is shared only when all are taken."""
    return slot % gpus


def resolve(runs: int, place: Place, wanted: RequestedResources) -> ExecutionOptions:
    """How to carry out `runs`, as far as it is not `wanted` otherwise; no more at a time than there are.

    One that nothing is `wanted` of stays in this process, which has no limit of memory.

    Raises:
        UsageError: a limit that is no number or that no run can keep to, or so many at a time that none has its memory.
    """
    limit = _bytes(wanted.memory) if wanted.memory is not None else None
    if wanted.address:
        return _on_cluster(place, wanted, limit)
    gpus = torch.cuda.device_count() if place.device == "cuda" else 0
    at_once = min(wanted.jobs or jobs(runs, cores(), memory(), gpus, wanted.share), max(1, runs))
    alone = runs == 1 and wanted == RequestedResources(retries=wanted.retries, share=wanted.share)
    return ExecutionOptions(
        place,
        jobs=at_once,
        threads=max(1, min(cores() // at_once, threads())),
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation="none" if alone else wanted.isolation or "run",
        memory=limit if limit or gpus or alone else _share(at_once),
        gpus=gpus,
    )


def _bytes(gigabytes: float) -> int:
    """A limit of memory; one beyond all memory is none."""
    if math.isnan(gigabytes):
        raise UsageError("--memory wants a number of GB, got nan.")
    limit = int(min(gigabytes * 2**30, LARGEST))
    if limit < LEAST:
        raise UsageError(f"--memory {gigabytes:g} is too little: the smallest run takes {LEAST / 2**30:.2g} GB.")
    return limit


def _share(at_once: int) -> int:
    """Bytes for each of so many runs at a time."""
    usable = int(USABLE * memory())
    if usable < LEAST:
        raise UsageError(
            f"Processes for runs may take {memory() / 2**30:.2g} GB of memory here, by the machine, its control groups "
            f"and its batch job (SLURM_MEM_*), and the smallest run takes {LEAST / USABLE / 2**30:.2g}; ask for more."
        )
    if usable // at_once < LEAST:
        raise UsageError(
            f"--jobs {at_once} leaves {usable // at_once >> 20} MB of memory for each run, wanted {LEAST >> 20}; say "
            f"--jobs {usable // LEAST} or less, or how much by --memory."
        )
    return usable // at_once


def _on_cluster(place: Place, wanted: RequestedResources, memory: int | None) -> ExecutionOptions:
    """A thread a run, as many runs as there is room for, and processes that do many: a start of torch takes seconds."""
    return ExecutionOptions(
        place,
        jobs=wanted.jobs or 0,
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation=wanted.isolation or "batch",
        memory=memory,
        address=wanted.address,
        share=wanted.share,
    )
