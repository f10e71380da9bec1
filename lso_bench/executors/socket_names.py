"""Short names for sockets, which lie in the folder of temporary files."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from pathlib import Path

from lso_bench.errors import UnusableError

LONGEST = 107  # bytes of a socket name on Linux (103 on macOS), without the final zero
SOCKET_NAME_BYTES = len("/pymp-xxxxxxxx/listener-xxxxxxxx") + 4  # bytes that multiprocessing adds, and the 4 of macOS
SHORT = Path("/tmp")


@contextmanager
def short_names() -> Iterator[None]:
    """Let multiprocessing create its sockets in a folder with a short name while the body runs.

    Raises:
        UnusableError: the folder of temporary files has too long a name, and there is no other.
    """
    original = tempfile.tempdir
    tempfile.tempdir = short_folder(SOCKET_NAME_BYTES)
    try:
        util.get_temp_dir()  # multiprocessing caches it
        yield
    finally:
        tempfile.tempdir = original


def short_folder(name_bytes: int) -> str:
    """Return the folder of temporary files, or another one, whose path leaves room for `name_bytes` more bytes.

    Raises:
        UnusableError: there is none.
    """
    default = tempfile.gettempdir()
    for folder in (default, str(SHORT)):
        if len(os.fsencode(folder)) + name_bytes <= LONGEST and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise UnusableError(
        f"TMPDIR is too long for the name of a socket: wanted at most {LONGEST - name_bytes} bytes, got "
        f"{len(os.fsencode(default))} ({default}); set a shorter TMPDIR."
    )
