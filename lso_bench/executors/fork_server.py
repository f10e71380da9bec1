"""Fork server of the processes for runs, which imports modules once for all, and the answers of these processes."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import Any

from lso_bench.executors.socket_names import short_names

SAFE = "PYTHONSAFEPATH"  # environment variable of Python
TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP}  # sent by a terminal to all processes; for the command only


def start_server() -> None:
    """Start the fork server, and the resource tracker of multiprocessing, unless they run."""
    with _without_working_folder_imports():
        resource_tracker.ensure_running()  # it unblocks SIGINT when it starts
        with _blocked(TERMINAL), short_names():
            forkserver.ensure_running()


def answer(task: Callable[[], Any]) -> Any:
    """Return the result of a task, or the exception that it raises, in a form that can be sent to another process."""
    try:
        return task()
    except Exception as error:
        error.add_note(traceback.format_exc())
        try:
            return pickle.loads(pickle.dumps(error))
        except Exception:  # pickling a user's class may raise anything
            return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _blocked(signals: set[signal.Signals]) -> Iterator[None]:
    """Block these signals in processes that are started while the body runs."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_working_folder_imports() -> Iterator[None]:
    """Prevent new processes from importing from the working folder, which may contain a file like `types.py`."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        os.environ.pop(SAFE) if before is None else os.environ.update({SAFE: before})
