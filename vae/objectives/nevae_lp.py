"""NE-VAE with the log-probability of a latent under the posterior of its reconstruction."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms
from lso_bench.vae.reencoding import Channel, Statistics, reconstruction, reencode

CONSTANT = math.log(2 * math.pi) / 2  # nats: constant term of -log of a normal density


@dataclass(frozen=True)
class NeighborLP(Objective):
    """Distortion + rate + sum over latents of max(c, -log q_i(z_i|x^)), x^ the reconstruction.

    Dimensions whose re-encoding is already likelier than exp(-c) add the constant c and no gradient. Source: Tu
    et al. 2021 (arXiv 2103.11349), section 4, NE-VAE with log-probability. Inferred: the sum over latents (the
    paper's KL of 87.5 at c = -5 would not pay with a mean); that -log q is counted without its constant log(2 pi) / 2
    a dimension, as only then the paper's rows c = 5, 3 and 1 are its plain VAE (docs/reproduction.md, section 4);
    and x^, `channel` and `norm`, as in NeighborSE.
    """

    variants: ClassVar = {"nevae_lp_{c}": {}}
    c: float = 0.1  # nats a dimension
    constant: bool = False  # whether -log q counts its log(2 pi) / 2; the same as c - 0.919 without it
    reduction: Literal["mean", "sum"] = "sum"  # over latent dimensions
    norm: Statistics = "data"
    channel: Channel = "auto"  # what is re-encoded: mean or draw; auto: a draw of sequences, else the mean
    beta: float = 1.0
    anneal: bool = True

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        q = vae.encode(x)
        z = q.rsample()
        p = vae.decode(z, x)
        reencoded = reencode(vae, reconstruction(vae, p, self.channel), self.norm)
        assert isinstance(reencoded, Independent)
        negative_log_prob = -reencoded.base_dist.log_prob(z) - (0.0 if self.constant else CONSTANT)  # (b, d)
        negative_log_prob = negative_log_prob.clamp(min=self.c)
        penalty = negative_log_prob.mean(dim=-1) if self.reduction == "mean" else negative_log_prob.sum(dim=-1)
        return Terms(-p.log_prob(x), kl_divergence(q, vae.prior(x)), penalty)
