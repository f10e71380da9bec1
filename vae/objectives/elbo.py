"""The negative evidence lower bound, plain or with a weighted rate."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms


@dataclass(frozen=True)
class ELBO(Objective):
    """Distortion + beta * rate, in nats, summed over pixels and latents, averaged over the batch.

    beta = 1 is the plain VAE (Kingma & Welling 2014, equation 3); otherwise the beta-VAE (Higgins et al. 2017,
    equation 4).
    """

    variants: ClassVar = {"vae": {}, "beta_vae_{beta:g}": {}, "vae_noanneal": {"anneal": False}}
    beta: float = 1.0
    anneal: bool = True

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        q = vae.encode(x)
        distortion = -vae.decode(q.rsample(), x).log_prob(x)
        return Terms(distortion, kl_divergence(q, vae.prior(x)), torch.zeros_like(distortion))
