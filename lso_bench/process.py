"""What is settled for the whole process before anything heavy is imported."""

import ctypes
import os

from lso_bench import limits


def settle_threads() -> None:
    """Before torch is imported: its threads must not spin at barriers (35 to 90 times slower on a busy machine)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not os.environ.get("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = str(limits.cores())


def settle_memory() -> None:
    """Freed memory stays with the process: fetching the pages of every activation anew took a tenth of a step."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own for anything
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library
