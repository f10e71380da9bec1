"""Score samples in a worker process, to which a task is sent."""

import pickle
import sys
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.executors.server import start_server
from vae.containment import contained
from vae.discovery import is_from_a_path, module_at


class LostWorkerError(Exception):
    """The worker process ended without scores."""


def scores_elsewhere(sent: bytes, module: str) -> Float[Tensor, "k n"]:
    """Return the scores that another process gives for a pickled task, whose class `module` holds, and samples.

    That process is ended once it has answered, whatever a task has begun there.

    Raises:
        LostWorkerError: it ends without an answer.
        Exception: whatever it raises there.
    """
    file = sys.modules[module].__file__ if is_from_a_path(module) else None
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once for all tasks
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, sent, file), daemon=True)
    start_server()
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError as error:
        raise LostWorkerError(f"it ended with status {process.exitcode}") from error
    finally:
        process.kill()
        process.join()
    if isinstance(answer, Exception):
        raise answer
    return torch.tensor(answer)


def _answer(pipe: Connection, sent: bytes, file: str | None) -> None:
    """In the worker: send the scores, or what a task raised in a form that can be sent."""
    try:
        answer: object = _scores(sent, file)
    except Exception as error:
        answer = RuntimeError(f"{type(error).__name__}: {error}")
        with suppress(Exception):  # its class may be of any kind
            answer = pickle.loads(pickle.dumps(error))
    pipe.send(answer)


def _scores(sent: bytes, file: str | None) -> list[list[float]]:
    if file:
        module_at(Path(file))  # as a worker that is given the same path
    task, x = pickle.loads(sent)  # what this very program pickled; only now can the class be found
    with contained(), torch.no_grad():
        return task.score(x).tolist()
