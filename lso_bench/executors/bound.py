"""Ends the process that runs are forked from with the one that started it, even while that imports torch.

The one module with an effect when it is imported, for there is no other way into that process; nowhere else has it one.
"""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1  # of Linux

if sys.platform == "linux" and any("multiprocessing.forkserver" in text for text in sys.orig_argv):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
