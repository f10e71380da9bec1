"""Score samples in a worker process, to which a task is sent."""

import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from vae.containment import contained
from vae.discovery import is_from_a_path, module_at


def scores_elsewhere(sent: bytes, module: str) -> Float[Tensor, "k n"]:
    """The scores that another process gives for a pickled task, whose class `module` holds, and samples.

    Raises:
        Exception: whatever it raises there.
    """
    file = sys.modules[module].__file__ if is_from_a_path(module) else None
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])  # torch is imported once for all tasks
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return torch.tensor(pool.submit(_scores, sent, file).result())


def _scores(sent: bytes, file: str | None) -> list[list[float]]:
    if file:
        module_at(Path(file))  # as a worker that is given the same path
    task, x = pickle.loads(sent)  # what this very program pickled; only now can the class be found
    with contained(), torch.no_grad():
        return task.score(x).tolist()
