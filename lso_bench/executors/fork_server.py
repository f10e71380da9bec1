"""The process that processes of runs are forked from, which has their imports behind it, and what these answer."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import Any

from lso_bench.executors.socket_names import short_names

SAFE = "PYTHONSAFEPATH"  # for Python itself
TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}  # from a terminal to all; meant for the command alone


def start_server() -> None:
    """Start it, and the process that multiprocessing has beside it, unless they run."""
    with _apart_from_the_working_folder():
        resource_tracker.ensure_running()  # which lets SIGINT through again when it starts
        with _blocked(TERMINAL), short_names():
            forkserver.ensure_running()


def answer(task: Callable[[], Any]) -> Any:
    """Return what a task gives, or what it raises, in a form that can be sent to another process."""
    try:
        return task()
    except Exception as error:
        error.add_note(traceback.format_exc())
        try:
            return pickle.loads(pickle.dumps(error))
        except Exception:  # of any kind, for its class is of any kind
            return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Processes that are started while the body runs never get these signals."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _apart_from_the_working_folder() -> Iterator[None]:
    """Let a process that starts within import nothing from the working folder: another `types.py` may lie there."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        os.environ.pop(SAFE) if before is None else os.environ.update({SAFE: before})
