"""InfoVAE: part of the rate replaced by the distance of the aggregate posterior from the prior."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms


@dataclass(frozen=True)
class InfoVAE(Objective):
    """Distortion + (1 - alpha) * rate + (alpha + scale - 1) * MMD^2(q(z), p(z)).

    Source: Zhao et al. 2017, "InfoVAE" (arXiv 1706.02262), equation 6 and section 3.2. MMD^2 between the latents of the
    batch and as many draws from the prior, unbiased, with a Gaussian kernel. Inferred: alpha, scale, and the
    kernel's variance d, at which two draws from the prior have a kernel of about 1/e.
    """

    alpha: float = 0.5
    scale: float = 100.0  # lambda in the paper; nats a unit of MMD^2

    def rate_weight(self, epoch: float, epochs: int, anneal_epochs: float) -> float:
        return 1 - self.alpha

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        q, prior = vae.encode(x), vae.prior(x)
        z = q.rsample()
        distortion = -vae.decode(z, x).log_prob(x)
        distance = mmd(z, prior.rsample((len(z),)))
        penalty = ((self.alpha + self.scale - 1) * distance).expand(len(x))
        return Terms(distortion, kl_divergence(q, prior), penalty)


def mmd(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    """Compute the unbiased estimate of MMD^2 between two samples, kernel exp(-|a - b|^2 / 2d). May be negative.

    Source: Gretton et al. 2012, "A Kernel Two-Sample Test", equation 3.
    """

    def kernel(u: Tensor, v: Tensor) -> Tensor:
        squared = (u[:, None] - v[None]).square().sum(-1)
        return (-squared / (2 * u.shape[-1])).exp()

    def within(u: Tensor) -> Tensor:
        return (kernel(u, u).sum() - len(u)) / max(1, len(u) * (len(u) - 1))  # without pairs of a point with itself

    return within(a) + within(b) - 2 * kernel(a, b).mean()
