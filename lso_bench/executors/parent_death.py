"""Ends the process that runs are forked from with the one that started it, even while that imports torch.

The one module with an effect when it is imported, for there is no other way into that process; nowhere else has it one.
"""

import ctypes
import signal
import sys
from pickle import UnpicklingError
from types import TracebackType

PR_SET_PDEATHSIG = 1  # of Linux


def say_briefly(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A line for a process that cannot be forked or cannot begin; none where nobody waits for it any more."""
    if not isinstance(error, EOFError | UnpicklingError):  # who started it is gone before it has said what to do
        print(f"A process for runs did not start: {kind.__name__}: {error}", file=sys.stderr, flush=True)


if any("multiprocessing.forkserver" in text for text in sys.orig_argv):
    sys.excepthook = say_briefly
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
