"""Divide the resources of this machine among runs."""

import math
from dataclasses import dataclass

import torch

from lso_bench.errors import UsageError
from lso_bench.executors import ExecutionOptions
from lso_bench.limits import cores, memory, threads
from lso_bench.runner.placement import Placement

NEEDED = 2 * 2**30  # bytes, estimated need of a run
MINIMUM = 6 * 2**30 // 10  # bytes, least that a run needs: the smallest takes 0.55 GB, 0.35 of it torch
USABLE = 0.9  # share of the memory for runs; the rest is for the system
LARGEST = 2**62  # bytes, largest limit


@dataclass(frozen=True)
class RequestedResources:
    """Resources that a user asks for; None: chosen by the machine."""

    jobs: int | None = None
    timeout: float | None = None  # seconds
    retries: int = 1
    isolation: str | None = None
    memory: float | None = None  # GB for each run
    share: float = 1.0  # share of a GPU for each run
    address: str | None = None  # address of a cluster; None: this machine


def jobs(runs: int, cores: int, memory: int, gpus: int = 0, share: float = 1.0) -> int:
    """Return how many of `runs` to do at a time: one a core as long as the memory suffices; on GPUs as many as fit.

    The total memory counts, not the free memory, so that the same command has the same threads the next time.
    """
    capacity = gpus * int(1 / share) if gpus else min(cores, int(USABLE * memory) // NEEDED)
    return max(1, min(runs, capacity))


def gpu_of(slot: int, gpus: int) -> int:
    """Return the GPU of a slot (0, 1, ...): assigned in turn, so a GPU is shared only if all are used."""
    return slot % gpus


def resolve(runs: int, place: Placement, requested: RequestedResources) -> ExecutionOptions:
    """Return the options to carry out `runs` runs; what is not requested is chosen by the machine.

    A single run without requests stays in this process, which has no memory limit.

    Raises:
        UsageError: a limit is no number or too small for any run, or too many jobs leave too little memory for each.
    """
    limit = _bytes(requested.memory) if requested.memory is not None else None
    if requested.address and requested.isolation == "none":
        raise UsageError("Runs on a cluster are not in this process; leave the isolation none, or the cluster, out.")
    if requested.address:
        return _on_cluster(place, requested, limit)
    gpus = torch.cuda.device_count() if place.device == "cuda" else 0
    if requested.isolation == "none":
        return _in_this_process(place, requested)
    at_once = min(requested.jobs or jobs(runs, cores(), memory(), gpus, requested.share), max(1, runs))
    is_plain_run = runs == 1 and requested == RequestedResources(retries=requested.retries, share=requested.share)
    return ExecutionOptions(
        place,
        jobs=at_once,
        threads=max(1, min(cores() // at_once, threads())),
        timeout=requested.timeout,
        retries=requested.retries,
        isolation="none" if is_plain_run else requested.isolation or "run",
        memory=limit if limit or gpus or is_plain_run else _memory_per_run(at_once),
        gpus=gpus,
    )


def _in_this_process(place: Placement, requested: RequestedResources) -> ExecutionOptions:
    """Return the options for runs one after the other in this process."""
    if requested.timeout is not None or requested.memory is not None or (requested.jobs or 1) > 1:
        raise UsageError(
            "Runs in this process go one by one, without limits, and so do runs with an object; leave jobs, timeout "
            "and memory out."
        )
    return ExecutionOptions(place, threads=threads(), retries=requested.retries, isolation="none")


def _bytes(gigabytes: float) -> int:
    """Convert a memory limit to bytes; a limit beyond all memory means no limit."""
    if math.isnan(gigabytes):
        raise UsageError("--memory wants a number of GB, got nan.")
    limit = int(min(gigabytes * 2**30, LARGEST))
    if limit < MINIMUM:
        raise UsageError(f"--memory {gigabytes:g} is too little: the smallest run takes {MINIMUM / 2**30:.2g} GB.")
    return limit


def _memory_per_run(at_once: int) -> int:
    """Return the bytes for each of `at_once` concurrent runs."""
    usable = int(USABLE * memory())
    if usable < MINIMUM:
        raise UsageError(
            f"Processes for runs may take {memory() / 2**30:.2g} GB of memory here, by the machine, its control groups "
            f"and its batch job (SLURM_MEM_*), and the smallest run takes {MINIMUM / USABLE / 2**30:.2g}; ask for more."
        )
    if usable // at_once < MINIMUM:
        raise UsageError(
            f"--jobs {at_once} leaves {usable // at_once >> 20} MB of memory for each run, wanted {MINIMUM >> 20}; say "
            f"--jobs {usable // MINIMUM} or less, or how much by --memory."
        )
    return usable // at_once


def _on_cluster(place: Placement, requested: RequestedResources, memory: int | None) -> ExecutionOptions:
    """Return the options for a cluster: one thread a run, and as many runs as fit.

    The isolation is "batch" by default, because torch starts slowly.
    """
    return ExecutionOptions(
        place,
        jobs=requested.jobs or 0,
        timeout=requested.timeout,
        retries=requested.retries,
        isolation=requested.isolation or "batch",
        memory=memory,
        address=requested.address,
        share=requested.share,
    )
