"""What a latent space is like: -ELBO, KL, mutual information, active units, re-encoding loss."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from vae.model import VAE

ACTIVE = 0.01  # variance of mu over the data above which a dimension counts: Burda et al. 2016, section 5.2
BATCH = 250  # images at a time


@dataclass(frozen=True)
class Metrics:
    """Means over the `n` test images; `se` holds the Monte-Carlo standard error of each mean."""

    n: int
    nelbo: float  # nats
    distortion: float  # nats
    kl: float  # nats, summed over dimensions
    mi: float  # nats, against all n posteriors; cannot exceed log n
    mi_b50: float  # nats, against batches of 50, as in the paper's likely estimator; cannot exceed log 50
    au: int  # dimensions with activity above 0.01
    reencoding_mean: float  # mean over dimensions of (z - z')^2
    reencoding_logp: float  # -log q(z|x^), nats, summed over dimensions
    activity: list[float]  # of each dimension: variance of mu over the images
    se: dict[str, float]


@torch.no_grad()
def measure(vae: VAE, x: Float[Tensor, "n 1 h w"], seed: int = 0, device: str = "cpu") -> Metrics:
    """The metrics of `vae`, in evaluation mode, on binary images, one code drawn for each.

    MI is E log q(z|x) - log q(z), which equals E KL(q(z|x), p(z)) - KL(q(z), p(z)) (Hoffman & Johnson 2016, equation
    6) and, with the same z in both terms, varies less and never exceeds log n.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = [_row(vae, batch.to(device)) for batch in x.split(BATCH)]
        each = {k: torch.cat([r[k] for r in rows]).cpu().double() for k in rows[0]}
        shuffled = torch.randperm(len(x))
    z, mean, std = each.pop("z"), each.pop("mean"), each.pop("std")
    own = each.pop("own")  # log q(z|x) of each image's own posterior
    each["nelbo"] = each["distortion"] + each["kl"]
    each["mi"] = own - aggregate_log_density(z, mean, std)
    size = min(50, len(x))
    blocks = [b for b in shuffled.split(size) if len(b) == size]
    each["mi_b50"] = torch.cat([own[b] - aggregate_log_density(z[b], mean[b], std[b]) for b in blocks])
    activity = mean.var(dim=0).tolist()
    return Metrics(
        n=len(x),
        au=sum(a > ACTIVE for a in activity),
        activity=activity,
        se={k: v.std().item() / math.sqrt(len(v)) for k, v in each.items()},
        **{k: v.mean().item() for k, v in each.items()},
    )


def aggregate_log_density(
    z: Float[Tensor, "m d"], mean: Float[Tensor, "n d"], std: Float[Tensor, "n d"]
) -> Float[Tensor, " m"]:
    """log q(z), q the mixture of the n posteriors with equal weights. Source: Hoffman & Johnson 2016, section 2."""
    precision = std.pow(-2)  # (n, d)
    constant = (
        -0.5 * (mean.square() * precision).sum(-1) - std.log().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
    )
    parts = (  # (m, n): the square of (z - mean) / std multiplied out, so that it is two matrix products
        torch.logsumexp(constant + p @ (mean * precision).T - 0.5 * p.square() @ precision.T, dim=-1)
        for p in z.split(512)
    )
    return torch.cat(list(parts)) - math.log(len(mean))


def _row(vae: VAE, x: Float[Tensor, "b 1 h w"]) -> dict[str, Tensor]:
    q = vae.encode(x)
    z = q.sample()
    p = vae.decode(z, x)
    again = vae.encode(p.mean)
    return {
        "z": z,
        "mean": q.mean,
        "std": q.stddev,
        "own": q.log_prob(z),
        "distortion": -p.log_prob(x),
        "kl": kl_divergence(q, vae.prior(x)),
        "reencoding_mean": (z - again.sample()).square().mean(-1),
        "reencoding_logp": -again.log_prob(z),
    }
