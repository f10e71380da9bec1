"""Standard output and standard error whose writes never raise: a stream that fails ends no study.

A closed stream, a pipe without a reader and a terminal that has gone want no text, so that it is dropped. Text that a
full disk or the like refuses is lost: the command line says so once its work is done.
"""

import errno
import io
import os
import re
import select
import stat
import sys

GONE = {errno.EBADF, errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}  # nobody reads any more
HUNG_UP = {errno.EIO, errno.ENXIO}  # the same where the stream is a terminal
NUMBERS = {"stdout": 1, "stderr": 2}  # file descriptors


class Stream(io.RawIOBase):
    """Bytes to a file descriptor; an error is kept and not raised."""

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
        """Write all of `data`, or drop the rest; its length in bytes."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._number, rest) :]
            except BlockingIOError:  # another program has set the pipe so
                select.select([], [self._number], [])
            except OSError as error:
                self._note(error)
                break
        return size

    def _note(self, error: OSError) -> None:
        if error.errno in GONE or (error.errno in HUNG_UP and stat.S_ISCHR(os.fstat(self._number).st_mode)):
            return
        self.refused = self.refused or error


def settle() -> None:
    """Let standard output and error of this process write through `Stream`; a name that an encoding lacks is escaped.

    A closed descriptor is opened on /dev/null, or the next file that is opened would take its number, and the text.
    """
    _occupy()
    for variable in ("COLUMNS", "LINES"):
        if not re.fullmatch("[0-9]*", os.environ.get(variable, "")):  # rich takes other digits for a number, too
            del os.environ[variable]
    for name, number in NUMBERS.items():
        stream = getattr(sys, name)
        if stream is None or _number(stream) == number:
            setattr(sys, name, _text(number, stream))


def refusal() -> OSError | None:
    """The error by which text on standard output was lost, once all of it is written."""
    sys.stdout.flush()
    raw = getattr(sys.stdout, "buffer", None)
    return raw.refused if isinstance(raw, Stream) else None


def _text(number: int, before: io.TextIOWrapper | None) -> io.TextIOWrapper:
    raw = Stream(number)  # without a buffer of its own, in whose lock a signal's message could meet another
    lines = number == NUMBERS["stderr"] or raw.isatty() or getattr(before, "line_buffering", False)
    encoding = getattr(before, "encoding", None) or "utf-8"
    return io.TextIOWrapper(raw, encoding, "backslashreplace", line_buffering=lines)  # pyright: ignore[reportArgumentType]


def _occupy() -> None:
    for number in (0, *NUMBERS.values()):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # which also lets child processes inherit it
            if opened != number:
                os.close(opened)


def _number(stream: object) -> int | None:
    """The descriptor that a stream writes to, where it has one."""
    try:
        return stream.fileno()  # pyright: ignore[reportAttributeAccessIssue]
    except (AttributeError, OSError, ValueError):
        return None
