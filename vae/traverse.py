"""Latent traversals: paths of latents, and the images along them."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.vae.metrics import BATCH
from lso_bench.vae.model import LatentModel
from lso_bench.vae.sampling import sample


def along(d: int, dimension: int, reach: float, steps: int) -> Float[Tensor, "s d"]:
    """Return latents from -reach to +reach in one dimension, 0 in the others.

    Source: arXiv 2103.11349, section 5.
    """
    z = torch.zeros(steps, d)
    z[:, dimension] = torch.linspace(-reach, reach, steps)
    return z


def outwards(direction: Float[Tensor, " d"], reach: float, steps: int) -> Float[Tensor, "s d"]:
    """Return latents from the origin to the point at distance `reach` in a direction."""
    return torch.linspace(0, reach, steps)[:, None] * direction / direction.norm()


def walk(vae: LatentModel, z: Float[Tensor, "s d"], noise: Float[Tensor, "*shape"]) -> Float[Tensor, "s *shape"]:
    """Compute the probability of ink in every pixel of the image of each latent; all images have the same noise."""
    return torch.cat([sample(vae, part, noise.expand(len(part), *noise.shape))[1] for part in z.split(BATCH)])
