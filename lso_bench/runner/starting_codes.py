"""Starting latents of the searches of a run."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.runner.scores import targets_of
from lso_bench.search.space import Space
from lso_bench.search.starts import check_variance, parse
from lso_bench.task import Task
from lso_bench.vae.data import Dataset, as_model_input


def starting_latents(text: str, seed: int, task: Task, space: Space, data: Dataset) -> Float[Tensor, "i m d"]:
    """Return m points for each instance of `task`, in the coordinates of the space; random ones by `seed`.

    Raises:
        UsageError: the start does not exist, or does not fit the model.
    """
    check_variance([text], space.vae.deterministic)
    name, m = parse(text, task.has_targets)
    generator, i, device = torch.Generator().manual_seed(seed), task.instances, space.device
    if name == "random":
        return torch.randn(i, m, space.latent, generator=generator).to(device)
    if name == "origin":
        return torch.zeros(i, 1, space.latent, device=device)
    if name == "data":
        chosen = data.train[torch.randint(len(data.train), (i * m,), generator=generator)]
        return space.means(as_model_input(chosen, data.likelihood, generator).to(device)).unflatten(0, (i, m))
    targets = targets_of(task)
    assert targets is not None, "parse() refused it"
    if name == "other":
        return torch.stack([space.means(targets.roll(-j, 0)) for j in range(1, m + 1)], 1)
    q = space.posterior(targets)
    noise = torch.randn(i, m - 1, q.mean.shape[1], generator=generator).to(device)
    return space.to_u(torch.cat([q.mean[:, None], q.mean[:, None] + q.stddev[:, None] * noise], 1))
