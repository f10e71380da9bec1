"""Aggregate posterior q(z) of a model, the mean of q(z|x) over training samples x: draws and moments."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.search.coordinates import Moments
from lso_bench.search.space import Space
from lso_bench.vae.data import Dataset, as_model_input
from lso_bench.vae.model import LatentModel

SAMPLES = 5000  # most training samples; fewer if there are not as many
ENCODED = 500  # samples encoded at once for the moments


def draws(space: Space, data: Dataset) -> Float[Tensor, "n d"]:
    """Return a draw of q(z|x) for each training sample, in the coordinates of the space."""
    x, generator = _samples(data)
    q = space.posterior(x.to(space.device))
    return space.to_u(q.mean + q.stddev * torch.randn(q.mean.shape, generator=generator).to(space.device))


@torch.no_grad()
def moments(vae: LatentModel, data: Dataset) -> Moments:
    """Return the mean and covariance of q(z) over the same samples: those of the mixture of all q(z|x), exactly.

    The covariance is that of the means of q(z|x), plus the mean of its variances.
    """
    x, _ = _samples(data)
    parts = [vae.encode(part) for part in x.split(ENCODED)]
    means = torch.cat([q.mean for q in parts]).double()
    variances = torch.cat([q.variance for q in parts]).double()
    mean = means.mean(0)
    centred = means - mean
    return Moments(mean, centred.T @ centred / len(x) + variances.mean(0).diag())


@torch.no_grad()
def examples(vae: LatentModel, data: Dataset, count: int) -> Float[Tensor, "k d"]:
    """Return the first `count` draws of `draws`, as latents in double precision."""
    x, generator = _samples(data)
    q = vae.encode(x[:count])
    noise = torch.randn(len(x), q.mean.shape[1], generator=generator)
    return (q.mean + q.stddev * noise[:count]).double()


def _samples(data: Dataset) -> tuple[Float[Tensor, "n *shape"], torch.Generator]:
    """Return training samples as the model takes them, and the generator that drew them, of seed 0."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(data.train), generator=generator)[:SAMPLES]
    return as_model_input(data.train[chosen], data.likelihood, generator), generator
