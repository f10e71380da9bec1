"""The program as a fork of a process that has imported all it needs, so that it starts at once."""

import errno
import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver, reduction
from pathlib import Path
from socket import socket

import lso_bench.commands.run
import lso_bench.executors.local
from lso_bench.cli import main
from lso_bench.executors.fork_server import TERMINAL

_recvfds = reduction.recvfds


def recvfds(sock: socket, size: int) -> list[int]:
    """Receive descriptors from a process that may be killed meanwhile, which the fork server would not survive.

    Here all commands share one server. A real command has its own, which ends with it.
    """
    try:
        return _recvfds(sock, size)
    except EOFError as error:
        raise ConnectionAbortedError(errno.ECONNABORTED, "the client is gone") from error  # the server goes on


reduction.recvfds = recvfds


def prepare() -> int:
    """Start the process that all come from; its id."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*lso_bench.executors.local.PRELOAD, __name__])
    forkserver.ensure_running()
    pid = forkserver._forkserver._forkserver_pid
    assert pid is not None
    return pid


def program(*arguments: str, **environment: str):
    """A process that runs the program with these arguments, quietly, in this environment and what is given."""
    target_arguments = (arguments, dict(os.environ) | environment)
    process = multiprocessing.get_context("forkserver").Process(target=_run, args=target_arguments)
    process.start()
    return process


def _run(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    # It runs, though not as a child of this process, which is all that would be looked for.
    forkserver.ensure_running = forkserver._forkserver.ensure_running = lambda: None
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL)  # which are blocked where a pool has started that process
    os.environ |= environment
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv = ["lso-bench", *arguments]
    main()
