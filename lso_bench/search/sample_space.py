"""Samples in place of latents: the space of searchers whose points are samples."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.search.space import Space


class SampleSpace(Space):
    """Space whose points are samples, each laid out in a row; nothing is decoded, and a point has no latent."""

    def __init__(self, latent_space: Space):
        self.vae, self.dtype, self.decoding = latent_space.vae, latent_space.dtype, latent_space.decoding
        self.latent = math.prod(latent_space.vae.shape)
        self.coordinates, self.capture, self.decodes = None, False, 0

    def decode(
        self, u: Float[Tensor, "k n d"], problems: Int[Tensor, " k"] | None = None
    ) -> Float[Tensor, "k n *shape"]:
        """Return the points as samples."""
        return u.unflatten(-1, self.vae.shape)

    def to_z(self, u: Float[Tensor, "... k"]) -> Float[Tensor, "... d"]:
        """Return NaN for each latent dimension."""
        return u.new_full((*u.shape[:-1], self.vae.latent), torch.nan)

    def norm(self, u: Float[Tensor, "... k"]) -> Float[Tensor, "..."]:
        """Return NaN."""
        return u.new_full(u.shape[:-1], torch.nan)
