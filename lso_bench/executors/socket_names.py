"""Names of sockets, which lie in the folder of temporary files and must be short."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from pathlib import Path

from lso_bench.errors import UnusableError

LONGEST = 107  # bytes of the name of a socket on Linux (103 on macOS), without the zero at its end
BEHIND = len("/pymp-xxxxxxxx/listener-xxxxxxxx") + 4  # bytes that multiprocessing adds, and the 4 of macOS
SHORT = Path("/tmp")


@contextmanager
def short_names() -> Iterator[None]:
    """While the body runs, multiprocessing has its sockets where their names are short enough.

    Raises:
        UnusableError: the folder of temporary files has too long a name, and there is no other.
    """
    kept = tempfile.tempdir
    tempfile.tempdir = short_folder(BEHIND)
    try:
        util.get_temp_dir()  # which it keeps
        yield
    finally:
        tempfile.tempdir = kept


def short_folder(behind: int) -> str:
    """The folder of temporary files, or another that leaves room for a name with so many bytes `behind` it.

    Raises:
        UnusableError: there is none.
    """
    usual = tempfile.gettempdir()
    for folder in (usual, str(SHORT)):
        if len(os.fsencode(folder)) + behind <= LONGEST and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise UnusableError(
        f"TMPDIR is too long for the name of a socket: wanted at most {LONGEST - behind} bytes, got "
        f"{len(os.fsencode(usual))} ({usual}); set a shorter TMPDIR."
    )
