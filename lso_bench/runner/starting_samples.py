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
from lso_bench.vae.data import Dataset, as_model_input

TRAINING = ("data", "random")  # starts that are training samples; the others are decoded latents
Start = tuple[Float[Tensor, "i m d"], Int[Tensor, "i m"]]  # starting samples, and their rows in the training samples


@torch.no_grad()
def starting_samples(
    starts: Sequence[str], seed: int, task: Task, space: Space, data: Dataset
) -> tuple[Float[Tensor, "k m d"], TrainingSamples]:
    """Return the starting samples of all problems, by start and instance, and the training samples beside them.

    Training samples are drawn by `seed`: `data` gives those whose codes latent searches begin at, `random` others.
    Other starts are the samples that the model decodes from its starting latents.
    """
    parts = [
        _training(text, seed, task, data)
        if parse(text, task.has_targets)[0] in TRAINING
        else _decoded(text, j, seed, task, space, data)
        for j, text in enumerate(starts)
    ]
    x = torch.cat([samples.to(space.device, space.dtype) for samples, _ in parts])
    rows = torch.cat([rows for _, rows in parts])
    return x, TrainingSamples(data.train, space.vae.shape, data.likelihood, rows)


def _training(text: str, seed: int, task: Task, data: Dataset) -> Start:
    (name, m), generator = parse(text, task.has_targets), torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(data.train), (1 + TRAINING.index(name), task.instances * m), generator=generator)
    rows = drawn[-1]
    samples = as_model_input(data.train[rows], data.likelihood, generator).flatten(1)
    return samples.unflatten(0, (-1, m)), rows.unflatten(0, (-1, m))


def _decoded(text: str, j: int, seed: int, task: Task, space: Space, data: Dataset) -> Start:
    """Return the decoded latents of the start at place j."""
    latents = starting_latents(text, seed, task, space, data).to(space.dtype)
    problems = torch.arange(j * task.instances, (j + 1) * task.instances, device=space.device)
    return space.decode(latents, problems).flatten(2), torch.full(latents.shape[:2], NO_ROW)
