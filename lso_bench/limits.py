"""Limits of cores, memory and threads for this process, from the machine, its control groups and its batch job."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")  # parent of /proc and /sys
JOBS = [  # variables of Slurm: memory of a unit, and number of units on this machine
    ("SLURM_MEM_PER_NODE", None),
    ("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"),
    ("SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"),
]
UNIT_SHIFTS = {"K": 10, "": 20, "M": 20, "G": 30, "T": 40}  # binary exponents of the units of memory
MEMORY_ERRORS = (  # messages of libraries if memory or a thread is refused
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "can't start new thread",
    "could not create a primitive",  # oneDNN has no memory for its generated code
)
UNSUPPORTED = "could not create a primitive descriptor"  # oneDNN does not support the operation


def cores() -> int:
    """Return the number of cores that this process may use; at least one, fractions are rounded up."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    job_cores = _number(os.environ.get("SLURM_CPUS_PER_TASK"))
    return max(1, min([available, *([job_cores] if job_cores else []), *(math.ceil(q) for q in _quotas())]))


def memory() -> int:
    """Return the bytes that this process and its children may use together."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group_limits = [
        _number(_text(g / name)) for g in _groups("memory") for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min([physical, *(n for n in group_limits if n), *_job_memory()])


def threads() -> int:
    """Return the threads that OMP_NUM_THREADS sets: its first number, as in OpenMP; else the number of cores."""
    return _number(os.environ.get("OMP_NUM_THREADS")) or cores()


def memory_kills() -> int:
    """Return the number of processes that the system has killed for lack of memory, as far as it reports them."""
    sources = [g / name for g in _groups("memory") for name in ("memory.events", "memory.oom_control")]
    lines = [line.split() for path in [*sources, ROOT / "proc/vmstat"] for line in (_text(path) or "").splitlines()]
    return sum(_number(words[1]) or 0 for words in lines if words[:1] == ["oom_kill"] and len(words) == 2)


def is_want_of_memory(error: BaseException) -> bool:
    """Return whether an error, or its cause, reports a lack of memory."""
    text = str(error).lower()
    is_short = isinstance(error, MemoryError) or (any(t in text for t in MEMORY_ERRORS) and UNSUPPORTED not in text)
    return is_short or (error.__cause__ is not None and is_want_of_memory(error.__cause__))


def _job_memory() -> list[int]:
    """Return the memory limits of a batch job on this machine, in bytes."""
    pairs = [(_size(os.environ.get(unit)), _number(os.environ.get(count)) if count else 1) for unit, count in JOBS]
    return [size * number for size, number in pairs if size and number]


def _size(text: str | None) -> int | None:
    """Return the bytes that a size of Slurm stands for: megabytes, or K, M, G or T; None if there is no number."""
    parts = re.fullmatch(r"\s*(\d{1,19})([KMGT]?)B?\s*", text or "", re.IGNORECASE)
    return int(parts[1]) << UNIT_SHIFTS[parts[2].upper()] if parts else None


def _quotas() -> Iterator[float]:
    """Yield the numbers of cores that control groups allow, as shares of time."""
    for group in _groups("cpu"):
        quota, _, period = (_text(group / "cpu.max") or "").partition(" ")
        quota, period = quota or _text(group / "cpu.cfs_quota_us"), period or _text(group / "cpu.cfs_period_us")
        if (quota_number := _number(quota)) and (period_number := _number(period)):
            yield quota_number / period_number


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups of this process and of their parents, for cgroup v1 and v2."""
    root = ROOT / "sys/fs/cgroup"
    for line in (_text(ROOT / "proc/self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        for mount in [root / controller, root / names] if names else [root, root / "unified"]:
            group = mount / path.lstrip("/")
            visible = [g for g in (group, *group.parents) if g.is_relative_to(mount) and ".." not in g.parts]
            yield from visible


def _number(text: str | None) -> int | None:
    """Return the positive whole number at the start of a text; None if there is none."""
    digits = re.match(r"\s*(\d{1,19})", text or "")
    return int(digits[1]) or None if digits else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None
