"""What this machine has, and how it is shared out among runs."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from lso_bench.executors import How
from lso_bench.run import Place

NEEDED = 2 * 2**30  # bytes that a run is reckoned to need
USABLE = 0.9  # of the memory; the rest is the system's
CGROUP = Path("/sys/fs/cgroup")


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


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory() -> int:
    """Bytes that this machine, or the container that this runs in, has."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(whole, int((CGROUP / "memory.max").read_text()))
    except (OSError, ValueError):
        return whole  # no container, or one without a limit


def jobs(runs: int, cores: int, memory: int, gpus: int = 0, share: float = 1.0) -> int:
    """How many of `runs` to do at the same time: one a core as long as the memory suffices; on GPUs as many as fit.

    It counts the whole memory, not what is free, so that the same command has the same threads the next time.
    """
    fit = gpus * int(1 / share) if gpus else min(cores, int(USABLE * memory) // NEEDED)
    return max(1, min(runs, fit))


def gpu_of(slot: int, gpus: int) -> int:
    """The GPU of the run in a slot (0, 1, ...): dealt in turn, so that a GPU is shared only when all are taken."""
    return slot % gpus


def memory_kills() -> int:
    """How many processes the system has ended so far because memory was short; 0 where it does not say."""
    for path in (CGROUP / "memory.events", Path("/proc/vmstat")):
        try:
            counts = dict(line.split() for line in path.read_text().splitlines())
            return int(counts["oom_kill"])
        except (OSError, ValueError, KeyError):
            continue
    return 0


def how(runs: int, place: Place, wanted: Wanted) -> How:
    """How to carry out `runs`, as far as it is not `wanted` otherwise."""
    if wanted.address:
        return _on_cluster(place, wanted)
    gpus = torch.cuda.device_count() if place.device == "cuda" else 0
    at_once = wanted.jobs or jobs(runs, cores(), memory(), gpus, wanted.share)
    each = None if gpus else int(USABLE * memory() / at_once)
    return How(
        place,
        jobs=at_once,
        threads=max(1, min(cores() // at_once, int(os.environ.get("OMP_NUM_THREADS", cores())))),
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation=wanted.isolation or "run",
        memory=int(wanted.memory * 2**30) if wanted.memory else each,
        gpus=gpus,
    )


def _on_cluster(place: Place, wanted: Wanted) -> How:
    """A thread a run, as many runs as there is room for, and processes that do many: a start of torch takes seconds."""
    return How(
        place,
        jobs=wanted.jobs or 0,
        timeout=wanted.timeout,
        retries=wanted.retries,
        isolation=wanted.isolation or "batch",
        memory=int(wanted.memory * 2**30) if wanted.memory else None,
        address=wanted.address,
        share=wanted.share,
    )
