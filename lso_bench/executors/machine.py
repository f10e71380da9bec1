"""How what this machine has is shared out among runs."""

import math
from dataclasses import dataclass

import torch

from lso_bench.errors import UsageError
from lso_bench.executors import How
from lso_bench.limits import cores, memory, threads
from lso_bench.run import Place

NEEDED = 2 * 2**30  # bytes that a run is reckoned to need
LEAST = 2**29  # bytes without which no run can do anything
USABLE = 0.9  # of the memory; the rest is the system's
LARGEST = 2**62  # bytes that a limit may be


@dataclass(frozen=True)
class Wanted:
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


def how(runs: int, place: Place, wanted: Wanted) -> How:
    """How to carry out `runs`, as far as it is not `wanted` otherwise; no more at a time than there are.

    Raises:
        UsageError: a limit that is no number, or so many at a time that none has the memory that it needs.
    """
    if wanted.address:
        return _on_cluster(place, wanted)
    gpus = torch.cuda.device_count() if place.device == "cuda" else 0
    at_once = min(wanted.jobs or jobs(runs, cores(), memory(), gpus, wanted.share), max(1, runs))
    share = None if gpus else int(USABLE * memory() / at_once)
    if share is not None and share < LEAST and at_once > 1 and not wanted.memory:
        raise UsageError(
            f"--jobs {at_once} leaves {share >> 20} MB of memory for each run, wanted {LEAST >> 20}; say --jobs "
            f"{max(1, int(USABLE * memory()) // LEAST)} or less, or how much by --memory."
        )
    return How(
        place,
        jobs=at_once,
        threads=max(1, min(cores() // at_once, threads())),
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation=wanted.isolation or "run",
        memory=_bytes(wanted.memory) if wanted.memory else share,
        gpus=gpus,
    )


def _bytes(gigabytes: float) -> int:
    """A limit of memory; one beyond all memory is none."""
    if math.isnan(gigabytes):
        raise UsageError("--memory wants a number of GB, got nan.")
    return int(min(gigabytes * 2**30, LARGEST))


def _on_cluster(place: Place, wanted: Wanted) -> How:
    """A thread a run, as many runs as there is room for, and processes that do many: a start of torch takes seconds."""
    return How(
        place,
        jobs=wanted.jobs or 0,
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation=wanted.isolation or "batch",
        memory=_bytes(wanted.memory) if wanted.memory else None,
        address=wanted.address,
        share=wanted.share,
    )
