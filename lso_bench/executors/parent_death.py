"""End the fork server together with its parent, even while the server imports torch.

This is the only module with an effect at import: there is no other way to run code in that process.
"""

import ctypes
import signal
import sys
from pickle import UnpicklingError
from types import TracebackType

PR_SET_PDEATHSIG = 1  # of Linux


def say_briefly(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print one line about a process that cannot start; nothing if no process waits for it any more."""
    if not isinstance(error, EOFError | UnpicklingError):  # the parent is gone before it sent a task
        print(f"A process for runs did not start: {kind.__name__}: {error}", file=sys.stderr, flush=True)


if any("multiprocessing.forkserver" in text for text in sys.orig_argv):
    sys.excepthook = say_briefly
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
