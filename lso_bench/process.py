"""What is settled for the whole process before anything heavy is imported."""

import atexit
import ctypes
import os
import shutil
import sys
import tempfile
import threading
import warnings
from pathlib import Path

from lso_bench import limits


def settle_threads() -> None:
    """Before torch is imported: its threads must not spin at barriers (35 to 90 times slower on a busy machine)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not os.environ.get("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = str(limits.cores())


def settle_warnings() -> None:
    """Let no warning of a library be an error, here and in processes to come, as `PYTHONWARNINGS=error` asks for."""
    if options := os.environ.get("PYTHONWARNINGS"):
        os.environ["PYTHONWARNINGS"] = ",".join(o for o in options.split(",") if not _asks_for_errors(o))
    sys.warnoptions[:] = [o for o in sys.warnoptions if not _asks_for_errors(o)]
    warnings.filters[:] = [f for f in warnings.filters if f[0] != "error"]  # pyright: ignore[reportIndexIssue]
    with warnings.catch_warnings():
        pass  # leaving it makes Python forget what it decided by the filters


def _asks_for_errors(option: str) -> bool:
    """Return whether an option of `python -W` does, whose action may be cut short: "e::DeprecationWarning"."""
    action = option.strip().partition(":")[0].strip().lower()
    return bool(action) and "error".startswith(action)


def settle_memory() -> None:
    """Freed memory stays with the process: fetching the pages of every activation anew took a tenth of a step."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no block of its own for anything
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library


def settle_figures() -> None:
    """Before matplotlib is imported: files and no windows, and a folder for its caches where the usual is closed."""
    os.environ["MPLBACKEND"] = "agg"  # a notebook's names a module that need not be installed here
    usual = [os.environ.get("XDG_CONFIG_HOME") or "~/.config", os.environ.get("XDG_CACHE_HOME") or "~/.cache"]
    if "MPLCONFIGDIR" not in os.environ and not all(_writable(Path(p, "matplotlib")) for p in usual):
        os.environ["MPLCONFIGDIR"] = str(_cache_of_figures())


def _cache_of_figures() -> Path:
    from lso_bench.vae.errors import UnusableError as VaeUnusableError
    from lso_bench.vae.paths import cache_folder

    try:
        if _writable(folder := cache_folder() / "matplotlib"):
            return folder
    except VaeUnusableError:
        pass  # no home folder
    folder = Path(tempfile.mkdtemp(prefix="lso-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _writable(folder: Path) -> bool:
    """Whether the folder is there, after an attempt to make it, and takes files."""
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def lasting_threads() -> list[threading.Thread]:
    """Return the threads beside the main one that keep this program from its end."""
    return [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
