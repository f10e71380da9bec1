"""The ELBO with a floor under the rate of each latent dimension."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms


@dataclass(frozen=True)
class FreeBits(Objective):
    """Distortion + sum over latents of max(floor, mean over the batch of that dimension's KL), in nats.

    Dimensions below the floor add a constant and no gradient: the first nats of each are free. Source: Kingma et al.
    2016, "Improved Variational Inference with Inverse Autoregressive Flow", equation 15, with a group a dimension.
    The rate here is the KL, or the floor if that is larger.
    """

    floor: float = 0.1  # nats a dimension; lambda in the paper
    anneal: bool = False

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        q, p = vae.encode(x), vae.prior(x)
        assert isinstance(q, Independent) and isinstance(p, Independent)
        kl = kl_divergence(q.base_dist, p.base_dist)  # (b, d)
        distortion = -vae.decode(q.rsample(), x).log_prob(x)
        free = kl.mean(dim=0) < self.floor  # (d,)
        charged = torch.where(free, torch.full_like(kl, self.floor), kl).sum(dim=-1)
        return Terms(distortion, charged, torch.zeros_like(distortion))
