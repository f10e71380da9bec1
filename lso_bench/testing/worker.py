"""Call a plugin in a worker process, to which it is sent."""

import pickle
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lso_bench.executors import parent_death
from lso_bench.executors.fork_server import answer, start_server
from lso_bench.plugins.containment import contained
from lso_bench.plugins.discovery import is_from_a_path, module_at


class LostWorkerError(Exception):
    """The worker process ended without an answer."""


def answer_elsewhere(call: Callable[[Any, Tensor], Tensor], sent: bytes, module: str) -> Tensor:
    """Return `call(plugin, x)` from another process, without gradients.

    The process is killed after its answer, whatever the plugin has started there.

    Args:
        call: a function of a module.
        sent: pickled plugin and x.
        module: module of the plugin's class.

    Raises:
        LostWorkerError: the process ends without an answer.
        Exception: any exception raised there.
    """
    file = sys.modules[module].__file__ if is_from_a_path(module) else None
    context = get_context("forkserver")
    context.set_forkserver_preload([parent_death.__name__, __name__])  # torch is imported once for all tasks
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, call, sent, file), daemon=True)
    start_server()
    process.start()
    sender.close()
    try:
        answered = receiver.recv()
    except (EOFError, OSError) as error:
        raise LostWorkerError from error
    finally:
        process.kill()
        process.join()
    if isinstance(answered, Exception):
        raise answered
    return torch.tensor(answered)


def _answer(pipe: Connection, call: Callable[[Any, Tensor], Tensor], sent: bytes, file: str | None) -> None:
    """Send the answer, or the exception of a plugin, from the worker."""
    pipe.send(answer(lambda: _called(call, sent, file)))


def _called(call: Callable[[Any, Tensor], Tensor], sent: bytes, file: str | None) -> list:
    if file:
        module_at(Path(file))  # as in a worker with the same path
    plugin, x = pickle.loads(sent)  # pickled by this program; its class can be found only now
    with contained(), torch.no_grad():
        return call(plugin, x).tolist()
