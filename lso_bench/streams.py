"""Standard output and standard error whose writes never raise, so that a failing stream ends no study.

Text for a closed stream, a pipe without a reader or a closed terminal is dropped. Text refused for another reason, such
as a full disk, is lost: the command line reports that after its work.
"""

import errno
import io
import os
import re
import select
import stat
import sys

CLOSED = {errno.EBADF, errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}  # errors of a stream without a reader
HUNG_UP = {errno.EIO, errno.ENXIO}  # errors of a closed terminal
NUMBERS = {"stdout": 1, "stderr": 2}  # file descriptors


class Stream(io.RawIOBase):
    """Raw stream to a file descriptor that keeps an error instead of raising it."""

    def __init__(self, number: int):
        self._number = number
        self.refused: OSError | None = None  # the first error by which text was lost

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data) -> int:
        """Write all of `data`, or drop the rest; return its length in bytes."""
        remaining = memoryview(data).cast("B")
        size = len(remaining)
        while remaining:
            try:
                remaining = remaining[os.write(self._number, remaining) :]
            except BlockingIOError:  # another program has made the pipe non-blocking
                select.select([], [self._number], [])
            except OSError as error:
                self._keep_error(error)
                break
        return size

    def _keep_error(self, error: OSError) -> None:
        if error.errno in CLOSED or (error.errno in HUNG_UP and stat.S_ISCHR(os.fstat(self._number).st_mode)):
            return
        self.refused = self.refused or error


def settle() -> None:
    """Make standard output and error of this process write through `Stream`.

    Characters that the encoding lacks are escaped. A closed descriptor is opened on /dev/null; otherwise the next
    opened file would take its number, and receive the text.
    """
    _open_missing_descriptors()
    for variable in ("COLUMNS", "LINES"):
        if not re.fullmatch("[0-9]*", os.environ.get(variable, "")):  # rich accepts digits of other scripts
            del os.environ[variable]
    for name, number in NUMBERS.items():
        stream = getattr(sys, name)
        if stream is None or _number(stream) == number:
            setattr(sys, name, _text(number, stream))


def refusal() -> OSError | None:
    """Flush standard output; return the error by which text was lost."""
    sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    return raw.refused if isinstance(raw, Stream) else None


def _text(number: int, original: io.TextIOWrapper | None) -> io.TextIOWrapper:
    raw = Stream(number)  # unbuffered: a signal's message could deadlock on the lock of a buffer
    line_buffering = number == NUMBERS["stderr"] or raw.isatty() or getattr(original, "line_buffering", False)
    encoding = getattr(original, "encoding", None) or "utf-8"
    return io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=line_buffering)  # pyright: ignore[reportArgumentType]


def _open_missing_descriptors() -> None:
    for number in (0, *NUMBERS.values()):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # child processes inherit it
            if opened != number:
                os.close(opened)


def _number(stream: object) -> int | None:
    """Return the descriptor of a stream; None if it has none."""
    try:
        return stream.fileno()  # pyright: ignore[reportAttributeAccessIssue]
    except (AttributeError, OSError, ValueError):
        return None
