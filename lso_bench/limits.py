"""Cores, memory and threads that this process may use: of the machine, of its control groups and of its batch job."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")  # of /proc and /sys
JOBS = [  # of Slurm: memory of a unit, and how many units of it the job has on this machine
    ("SLURM_MEM_PER_NODE", None),
    ("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"),
    ("SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"),
]
SHIFTS = {"K": 10, "": 20, "M": 20, "G": 30, "T": 40}  # of units of memory
SHORT = (  # what libraries say where memory, or the room for a thread, is refused
    "can't allocate memory",
    "cannot allocate memory",
    "out of memory",
    "bad_alloc",
    "can't start new thread",
    "could not create a primitive",  # of oneDNN, which has no room for the code that it makes
)
NO_SHAPE = "could not create a primitive descriptor"  # of oneDNN, which cannot do what is asked for


def cores() -> int:
    """Cores that this process may use, at least one; of a share of a core the next whole number."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    of_job = _number(os.environ.get("SLURM_CPUS_PER_TASK"))
    return max(1, min([there, *([of_job] if of_job else []), *(math.ceil(q) for q in _quotas())]))


def memory() -> int:
    """Bytes that this process and its children may take together."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    of_groups = [
        _number(_text(g / name)) for g in _groups("memory") for name in ("memory.max", "memory.limit_in_bytes")
    ]
    return min([whole, *(n for n in of_groups if n), *_of_job()])


def threads() -> int:
    """Threads that OMP_NUM_THREADS asks for: its first number, which OpenMP takes too; else the cores."""
    return _number(os.environ.get("OMP_NUM_THREADS")) or cores()


def memory_kills() -> int:
    """How many processes the system has ended so far because memory was short, as far as it says."""
    sources = [g / name for g in _groups("memory") for name in ("memory.events", "memory.oom_control")]
    lines = [line.split() for path in [*sources, ROOT / "proc/vmstat"] for line in (_text(path) or "").splitlines()]
    return sum(_number(words[1]) or 0 for words in lines if words[:1] == ["oom_kill"] and len(words) == 2)


def is_want_of_memory(error: BaseException) -> bool:
    """Whether memory was too short, as an error or what it comes from says."""
    text = str(error).lower()
    short = isinstance(error, MemoryError) or (any(t in text for t in SHORT) and NO_SHAPE not in text)
    return short or (error.__cause__ is not None and is_want_of_memory(error.__cause__))


def _of_job() -> list[int]:
    """Bytes that a batch job may take on this machine, as far as it says."""
    pairs = [(_size(os.environ.get(unit)), _number(os.environ.get(count)) if count else 1) for unit, count in JOBS]
    return [size * number for size, number in pairs if size and number]


def _size(text: str | None) -> int | None:
    """Bytes, of a number of Slurm's: megabytes, unless K, M, G or T stands after it; None: no such number."""
    parts = re.fullmatch(r"\s*(\d{1,19})([KMGT]?)B?\s*", text or "", re.IGNORECASE)
    return int(parts[1]) << SHIFTS[parts[2].upper()] if parts else None


def _quotas() -> Iterator[float]:
    """Cores by the time that control groups give."""
    for group in _groups("cpu"):
        quota, _, period = (_text(group / "cpu.max") or "").partition(" ")
        quota, period = quota or _text(group / "cpu.cfs_quota_us"), period or _text(group / "cpu.cfs_period_us")
        if (a := _number(quota)) and (b := _number(period)):
            yield a / b


def _groups(controller: str) -> Iterator[Path]:
    """The folders of the control groups that this process is in, of cgroup v1 and v2, each with all above it."""
    top = ROOT / "sys/fs/cgroup"
    for line in (_text(ROOT / "proc/self/cgroup") or "").splitlines():
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        for mounted in [top / controller, top / names] if names else [top, top / "unified"]:
            group = mounted / path.lstrip("/")
            inside = [g for g in (group, *group.parents) if g.is_relative_to(mounted) and ".." not in g.parts]
            yield from inside


def _number(text: str | None) -> int | None:
    """The whole number, from 1 on, that a text begins with; None: it does not."""
    digits = re.match(r"\s*(\d{1,19})", text or "")
    return int(digits[1]) or None if digits else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except (OSError, ValueError):
        return None
