"""Score samples in a worker process, to which a task is sent."""

import pickle
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.executors import parent_death
from lso_bench.executors.fork_server import answer, start_server
from lso_bench.plugins.containment import contained
from lso_bench.plugins.discovery import is_from_a_path, module_at


class LostWorkerError(Exception):
    """The worker process ended without scores."""


def scores_elsewhere(sent: bytes, module: str) -> Float[Tensor, "k n"]:
    """Return the scores from another process for a pickled task, whose class is in `module`, and its samples.

    The process is killed after its answer, whatever the task has started there.

    Raises:
        LostWorkerError: the process ends without an answer.
        Exception: any exception raised there.
    """
    file = sys.modules[module].__file__ if is_from_a_path(module) else None
    context = get_context("forkserver")
    context.set_forkserver_preload([parent_death.__name__, __name__])  # torch is imported once for all tasks
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, sent, file), daemon=True)
    start_server()
    process.start()
    sender.close()
    try:
        scores = receiver.recv()
    except (EOFError, OSError) as error:
        raise LostWorkerError from error
    finally:
        process.kill()
        process.join()
    if isinstance(scores, Exception):
        raise scores
    return torch.tensor(scores)


def _answer(pipe: Connection, sent: bytes, file: str | None) -> None:
    """Send the scores, or the exception of a task, from the worker."""
    pipe.send(answer(lambda: _scores(sent, file)))


def _scores(sent: bytes, file: str | None) -> list[list[float]]:
    if file:
        module_at(Path(file))  # as in a worker with the same path
    task, x = pickle.loads(sent)  # pickled by this program; its class can be found only now
    with contained(), torch.no_grad():
        return task.score(x).tolist()
