"""NE-VAE with the squared error between a latent and its re-encoding."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms
from lso_bench.vae.reencoding import Channel, Statistics, reconstruction, reencode


@dataclass(frozen=True)
class NeighborSE(Objective):
    """Distortion + rate + weight * mean over latents of (z - z')^2, z' a latent of the reconstruction x^.

    x^ is the mean E[p(x|z)], or a draw from p(x|z) with straight-through gradients, as `channel` says. Both are
    teacher-forced where the decoder is autoregressive, so that gradients reach the decoder. Each token is then given
    the tokens of x before it: x^ tells of x even where the decoder ignores z, and the error may fall without its use.
    The decimals of a mean can carry z, too, which is why sequences are drawn.
    Source: Tu et al. 2021 (arXiv 2103.11349), section 4, NE-VAE with squared error. Inferred, not printed there:
    the draw of sequences, the mean over latents (with the sum, KL on Omniglot is ten times the paper's), weight 1,
    z' sampled from q(z|x^) rather than its mean; and `norm`, what the encoder's batch norm makes of x^ in training: it
    normalises by the statistics of x^ and leaves them out of the running ones ("data"), so that the model is measured
    and searched as it was trained; or counts them in ("shared", docs/reproduction.md shows what that does); or
    normalises by the running ones ("frozen").
    """

    reduction: Literal["mean", "sum"] = "mean"  # over latent dimensions
    sample: bool = True  # z' ~ q(z|x^); otherwise its mean
    weight: float = 1.0
    norm: Statistics = "data"
    channel: Channel = "auto"  # what is re-encoded: mean or draw; auto: a draw of sequences, else the mean
    beta: float = 1.0
    anneal: bool = True

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        q = vae.encode(x)
        z = q.rsample()
        p = vae.decode(z, x)
        reencoded = reencode(vae, reconstruction(vae, p, self.channel), self.norm)
        error = (z - (reencoded.rsample() if self.sample else reencoded.mean)).square()  # (b, d)
        error = error.mean(dim=-1) if self.reduction == "mean" else error.sum(dim=-1)
        return Terms(-p.log_prob(x), kl_divergence(q, vae.prior(x)), self.weight * error)
