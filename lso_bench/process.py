"""Settings of the whole process, made before anything heavy is imported."""

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
    """Set the threads before torch is imported.

    They must not spin at barriers, which is 35 to 90 times slower on a busy machine.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not os.environ.get("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = str(limits.cores())


def settle_warnings() -> None:
    """Prevent `PYTHONWARNINGS=error` from turning warnings of libraries into errors, here and in child processes."""
    if options := os.environ.get("PYTHONWARNINGS"):
        os.environ["PYTHONWARNINGS"] = ",".join(o for o in options.split(",") if not _makes_errors(o))
    sys.warnoptions[:] = [o for o in sys.warnoptions if not _makes_errors(o)]
    warnings.filters[:] = [f for f in warnings.filters if f[0] != "error"]  # pyright: ignore[reportIndexIssue]
    with warnings.catch_warnings():
        pass  # leaving the context clears Python's cache of decisions by the filters


def _makes_errors(option: str) -> bool:
    """Return whether an option of `python -W` turns warnings into errors.

    Its action may be abbreviated, as in "e::DeprecationWarning".
    """
    action = option.strip().partition(":")[0].strip().lower()
    return bool(action) and "error".startswith(action)


def settle_memory() -> None:
    """Keep freed memory in the process: fetching the pages of every activation again took a tenth of a step."""
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mappings
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        pass  # another C library


def settle_figures() -> None:
    """Set up matplotlib before its import: files instead of windows, and a writable folder for its caches."""
    os.environ["MPLBACKEND"] = "agg"  # a notebook sets a backend that may not be installed here
    defaults = [os.environ.get("XDG_CONFIG_HOME") or "~/.config", os.environ.get("XDG_CACHE_HOME") or "~/.cache"]
    if "MPLCONFIGDIR" not in os.environ and not all(_writable(Path(p, "matplotlib")) for p in defaults):
        os.environ["MPLCONFIGDIR"] = str(_figure_cache())


def _figure_cache() -> Path:
    from lso_bench.errors import UnusableError
    from lso_bench.files.paths import cache_folder

    try:
        if _writable(folder := cache_folder() / "matplotlib"):
            return folder
    except UnusableError:
        pass  # no home folder
    folder = Path(tempfile.mkdtemp(prefix="lso-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _writable(folder: Path) -> bool:
    """Return whether the folder exists, or can be created, and is writable."""
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def lasting_threads() -> list[threading.Thread]:
    """Return the threads except the main one that keep this program from ending."""
    return [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
