"""Cause of searches that ended in a value that is not finite: the model's sample, the task's score, or a gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.search.space import Space
from lso_bench.task import Task


def cause(space: Space, task: Task, u: Float[Tensor, "k d"], diverged: Tensor, model: str) -> str:
    """Return one line that names the model or the task, whichever gave the value that is not finite.

    Args:
        task: for these k problems.
        u: the last points of the searches, in the coordinates of the space.
        diverged: whether each search ended in a value that is not finite, booleans of shape (k,).
    """
    count, kind = f"{int(diverged.sum())} of {len(diverged)} problems", type(task).__name__
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        x = space.decode(u.unsqueeze(1))
    if not x[diverged].isfinite().all():
        return f"model {model}: the decoded sample of {count} is not finite; look at its weights, or train it again"
    with plugin_errors("task", task), torch.no_grad():
        y = task.score(x.clone())
    if not y[diverged].isfinite().all():
        return f"task {kind}: the score of {count} is not finite"
    return f"the gradient of {count} is not finite, in task {kind} or in the decoder of model {model}"
