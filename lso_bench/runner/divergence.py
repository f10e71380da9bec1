"""Cause of searches that ended in a value that is not finite: the model's sample, the task's score, or a gradient."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.search.space import Space
from lso_bench.task import Task

WITHOUT_GRADIENT = "cmaes, bo, turbo or sobol"


def cause(
    space: Space, task: Task, u: Float[Tensor, "k d"], diverged: Tensor, model: str, follows_gradient: bool
) -> str:
    """Return one line that names the model or the task, whichever gave the value that is not finite.

    Args:
        task: for these k problems.
        u: the last points of the searches, in the coordinates of the space.
        diverged: whether each search ended in a value that is not finite, booleans of shape (k,).
        follows_gradient: whether the searcher follows the gradient of the score.
    """
    count, kind = f"{int(diverged.sum())} of {len(diverged)} problems", type(task).__name__
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        x = space.decode(u.unsqueeze(1))
    if not x[diverged].isfinite().all():
        return f"model {model}: the decoded sample of {count} is not finite; look at its weights, or train it again"
    with plugin_errors("task", task), torch.no_grad():
        y = task.score(x.clone())
    if not y[diverged].isfinite().all():
        return f"task {kind}: the score of {count} is not finite; {_remedy(task, follows_gradient)}"
    return f"the gradient of {count} is not finite, in task {kind} or in the decoder of model {model}"


def _remedy(task: Task, follows_gradient: bool) -> str:
    """Return what lets a search go on after scores that are not finite."""
    if follows_gradient:
        return f"mend `score`, or choose a searcher that follows no gradient ({WITHOUT_GRADIENT})"
    if task.invalid_score is None:
        return "mend `score`, or let it give NaN and state what NaN counts as: `invalid_score = -1.0` in its class"
    return "let it give NaN, which counts as `invalid_score`"
