"""Lines on stderr; processes of one command do not repeat what another one printed."""

import hashlib
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from lso_bench.files.sanitize import printable

PRINTED = "LSO_BENCH_PRINTED"  # environment variable: folder with an empty file for each line that was printed


def remark(line: str) -> None:
    """Print a line on stderr, if there is one; not in a process whose parent, or sibling, has printed it."""
    if _is_printed(line) and not _folder.cache_info().currsize:
        return
    with suppress(OSError, ValueError, AttributeError):  # closed, full or a broken pipe: a remark is not essential
        print(printable(line), file=sys.stderr, flush=True)


def share_remarks() -> None:
    """Let the processes that this one starts print each line once, and none that this one prints from now on."""
    with suppress(OSError):  # no room for temporary files: each process prints its own lines
        os.environ[PRINTED] = _folder().name


@cache
def _folder() -> "TemporaryDirectory[str]":
    """Return a folder that is removed when this process ends."""
    return TemporaryDirectory(prefix="lso-bench-")


def _is_printed(line: str) -> bool:
    """Return whether a line was printed, and note that it is now."""
    if not (folder := os.environ.get(PRINTED)):
        return False
    try:
        (Path(folder) / hashlib.sha256(line.encode(errors="replace")).hexdigest()).touch(exist_ok=False)
    except FileExistsError:
        return True
    except OSError:  # the folder is gone or full
        return False
    return False
