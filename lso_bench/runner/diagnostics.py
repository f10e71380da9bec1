"""What is noted of a found point beside its score."""

import hashlib
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.calls import named
from lso_bench.runner.scores import reported
from lso_bench.search.space import Space
from lso_bench.task import Task

USUAL = 500  # test images on which what a task reports is taken, too


@torch.no_grad()
def noted(space: Space, task: Task, z: Float[Tensor, "k d"], x: Float[Tensor, "k *shape"]) -> list[dict[str, Any]]:
    """`consistency`, `image` and `beside` of `SearchResult`, for the codes z and their decoded images x.

    An encoder that was trained on binary images is shown the image binarised at 0.5: a draw would add its chance.

    Raises:
        PluginError: the task reports something else than a number of each sample, or raises.
    """
    binary = x > 0.5
    seen = binary.float() if space.vae.arch.likelihood == "bernoulli" else x
    off = (space.posterior(seen).mean - z).norm(dim=-1).tolist()
    names = [hashlib.sha256(b.cpu().numpy().tobytes()).hexdigest()[:16] for b in binary]
    told = {name: numbers[:, 0].tolist() for name, numbers in _reported(task, x.unsqueeze(1)).items()}
    each = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)] or [{} for _ in x]
    return [{"consistency": c, "image": i, "beside": b} for c, i, b in zip(off, names, each, strict=True)]


def _reported(task: Task, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
    """Return what the task reports of `x`, which is not its own to change.

    Raises:
        PluginError: it reports something else than a number of each sample, or raises.
    """
    with named("task", task):
        return reported(task.beside(x.clone()), x)


@torch.no_grad()
def usual(task: Task, test: Float[Tensor, "t *shape"]) -> dict[str, float]:
    """What a task reports beside the objective, of test images: the median, of `valid` the share."""
    with named("task", task):
        first = task.at(torch.zeros(1, dtype=torch.long, device=test.device))
    found = _reported(first, test[None, :USUAL])
    return {name: (v.mean() if name == "valid" else v.median()).item() for name, v in found.items()}
