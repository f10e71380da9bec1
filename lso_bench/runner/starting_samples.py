"""Starts of searches whose points are samples."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.runner.starting_codes import starting_latents
from lso_bench.search.space import Space
from lso_bench.search.starts import parse
from lso_bench.search.training_samples import NO_ROW, TrainingSamples
from lso_bench.task import Task
from lso_bench.vae.data import Dataset

TRAINING = ("random", "data")  # starts that are training samples; the others are decoded latents


@torch.no_grad()
def starting_samples(
    starts: Sequence[str], seed: int, task: Task, space: Space, data: Dataset
) -> tuple[Float[Tensor, "k m d"], TrainingSamples]:
    """Return the starting samples of all problems, by start and instance, and the training samples beside them.

    Training samples are drawn by `seed`: `data` gives those whose codes latent searches begin at. Other starts are the
    samples that the model decodes from its starting latents.
    """
    rows = torch.cat([_rows(text, seed, task, data) for text in starts])
    empty = torch.empty(0, dtype=space.dtype, device=space.device)
    training = TrainingSamples(data.train, space.vae.shape, data.likelihood, rows)
    x = training.points(rows, torch.Generator().manual_seed(seed), empty)
    for j, text in enumerate(starts):
        problems = torch.arange(j * task.instances, (j + 1) * task.instances, device=space.device)
        if parse(text, task.has_targets)[0] not in TRAINING:
            latents = starting_latents(text, seed, task, space, data).to(space.dtype)
            x[problems] = space.decode(latents, problems).flatten(2)
    return x, training


def _rows(text: str, seed: int, task: Task, data: Dataset) -> Int[Tensor, "i m"]:
    """Return the rows of the training samples of a start, of each instance; `NO_ROW` for a start of another kind."""
    name, m = parse(text, task.has_targets)
    if name not in TRAINING:
        return torch.full((task.instances, m), NO_ROW)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(data.train), (task.instances * m,), generator=generator).unflatten(0, (-1, m))
