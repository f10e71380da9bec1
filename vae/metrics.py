"""Metrics of a latent space, from one pass over the images: -ELBO, KL, mutual information, activity, re-encoding."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from lso_bench.vae.model import LatentModel

ACTIVE = 0.01  # smallest variance of mu over the data of an active dimension: Burda et al. 2016, section 5.2
BATCH = 250  # images a batch
BLOCK = 50  # images of `mi_b50`


@dataclass(frozen=True)
class Metrics:
    """Means over the `n` test images; `se` holds the Monte-Carlo standard error of each mean.

    Metrics that need a distribution of latents are None for a deterministic autoencoder, those that need log p(x|z) for
    a model that has none.
    """

    n: int
    nelbo: float | None  # nats
    distortion: float | None  # nats: -log p(x|z), teacher-forced where the decoder is autoregressive
    squared_error: float  # sum over pixels of (x - E[p(x|z)])^2, likewise
    kl: float | None  # nats, summed over dimensions
    mi: float | None  # nats, against all n posteriors; cannot exceed log n
    mi_b50: float | None  # nats, against batches of 50, as in the paper's likely estimator; cannot exceed log 50; None
    # of fewer than 50 images
    divergence: float | None  # KL(q(z), p(z)) in nats, q(z) the mean of all n posteriors; kl - mi on average
    au: int  # dimensions with activity above 0.01
    reencoding_mean: float | None  # mean over dimensions of (z - z')^2
    reencoding_logp: float | None  # -log q(z|x^), nats, summed over dimensions
    activity: list[float]  # of each dimension: variance of mu over the images
    kl_each: list[float] | None  # nats, of each dimension
    se: dict[str, int | float]
    nll: float | None = None  # nats: importance-weighted, an upper bound on -log p(x); vae.evaluation has these four
    gap: float | None = None  # nats: -ELBO - NLL
    consistency_prior: float | None = None  # |mu(x') - z|, x' ~ p(x|z), z ~ p(z), in prior standard deviations
    consistency_posterior: float | None = None  # likewise, with z ~ q(z|x)
    decoder_use: float | None = None  # nats: log p(x|z) - log p(x|z'), z' of another image; vae.code_use has these four
    reencoding_draw: float | None = None  # as reencoding_mean, for x' ~ p(x|z) in place of the mean image
    au_relative: int | None = None  # dimensions whose mean varies more than the noise of the posterior
    retrieval: float | None = None  # share of images that the reconstruction is nearest to, of a set
    exact: float | None = None  # share of texts that are decoded from mu(x) without an error; None of other samples
    token_accuracy: float | None = None  # share of tokens that are, likewise, up to and with the end of a text
    prior_valid: float | None = None  # shares of texts x ~ p(x|z), z ~ p(z): see `lso_bench.vae.prior_texts`
    prior_distinct: float | None = None
    prior_novel: float | None = None


PROBABILISTIC = ("nelbo", "kl", "mi", "mi_b50", "divergence", "reencoding_mean", "reencoding_logp")
ESTIMATORS = 1  # version of the estimators; stored metrics of a lower version are not used


@dataclass(frozen=True)
class Observed:
    """Values of one pass over n images."""

    per_sample: dict[str, Float[Tensor, " n"]]  # values of every sample, by the names of `Metrics`; NaN: no value
    activity: list[float]
    kl_each: list[float] | None


def measure(vae: LatentModel, x: Float[Tensor, "n *shape"], seed: int = 0, device: str = "cpu") -> Metrics:
    """Compute the metrics of `vae`, in evaluation mode, on images; one latent is drawn for each image."""
    return summarise(observe(vae, x, seed, device))


@torch.no_grad()
def observe(vae: LatentModel, x: Float[Tensor, "n *shape"], seed: int, device: str) -> Observed:
    """Compute the values that `measure` averages. Two models with the same seed have paired values of an image.

    MI is E log q(z|x) - log q(z), which equals E KL(q(z|x), p(z)) - KL(q(z), p(z)) (Hoffman & Johnson 2016, equation
    6) and, with the same z in both terms, varies less and never exceeds log n.

    Raises:
        ValueError: fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"A variance over images wants two or more, got {len(x)}.")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        rows = [_row(vae, batch.to(device)) for batch in x.split(BATCH)]
    values = {k: torch.cat([r[k] for r in rows]).cpu().double() for k in rows[0]}
    z, mean, std, kl_each = (values.pop(k) for k in ("z", "mean", "std", "kl_each"))
    posterior, prior = values.pop("own"), values.pop("prior")  # log q(z|x); log p(z)
    if not vae.deterministic:
        aggregate = aggregate_log_density(z, mean, std)
        values["kl"] = kl_each.sum(-1)
        if vae.has_density:
            values["nelbo"] = values["distortion"] + values["kl"]
        values["mi"] = posterior - aggregate
        values["divergence"] = aggregate - prior
        blocks = _blocks(len(x), seed)
        values |= {"mi_b50": torch.full_like(posterior, math.nan)} if blocks else {}
        for b in blocks:
            values["mi_b50"][b] = posterior[b] - aggregate_log_density(z[b], mean[b], std[b])
    return Observed(values, mean.var(dim=0).tolist(), None if vae.deterministic else kl_each.mean(0).tolist())


def summarise(observed: Observed) -> Metrics:
    """Average the values, with standard errors."""
    values = dict(observed.per_sample)
    if "mi_b50" in values:  # images outside the blocks have no value
        values["mi_b50"] = values["mi_b50"][~values["mi_b50"].isnan()]
    means = dict.fromkeys(("distortion", *PROBABILISTIC)) | {k: v.mean().item() for k, v in values.items()}
    return Metrics(
        n=len(observed.per_sample["squared_error"]),
        au=sum(a > ACTIVE for a in observed.activity),
        activity=observed.activity,
        kl_each=observed.kl_each,
        se={k: _standard_error(v) for k, v in values.items()},
        **means,  # pyright: ignore[reportArgumentType]
    )


def _standard_error(values: Float[Tensor, " n"]) -> float:
    """Return the standard error of the mean of values; NaN for a single value."""
    return values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _blocks(n: int, seed: int) -> list[Tensor]:
    """Return whole blocks of n images in random order, equal for every model; a shorter last block is dropped."""
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return [b for b in shuffled.split(BLOCK) if len(b) == BLOCK]


def aggregate_log_density(
    z: Float[Tensor, "m d"], mean: Float[Tensor, "n d"], std: Float[Tensor, "n d"]
) -> Float[Tensor, " m"]:
    """Compute log q(z), with q the mixture of the n posteriors with equal weights.

    Source: Hoffman & Johnson 2016, section 2.
    """
    precision = std.pow(-2)  # (n, d)
    constant = (
        -0.5 * (mean.square() * precision).sum(-1) - std.log().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)
    )
    parts = (  # (m, n): the square of (z - mean) / std multiplied out, so that it is two matrix products
        torch.logsumexp(constant + p @ (mean * precision).T - 0.5 * p.square() @ precision.T, dim=-1)
        for p in z.split(512)
    )
    return torch.cat(list(parts)) - math.log(len(mean))


def _row(vae: LatentModel, x: Float[Tensor, "b *shape"]) -> dict[str, Tensor]:
    q, prior = vae.encode(x), vae.prior(x)
    assert isinstance(q, Independent) and isinstance(prior, Independent)
    z = q.rsample()  # unlike sample, accepts values that are not finite
    p = vae.decode(z, x)
    row = {
        "z": z,
        "mean": q.mean,
        "std": q.stddev,
        "own": q.log_prob(z),
        "prior": prior.log_prob(z),
        **({"distortion": -p.log_prob(x)} if vae.has_density else {}),
        "squared_error": (x - p.mean).square().flatten(1).sum(-1),
        "kl_each": kl_divergence(q.base_dist, prior.base_dist),
    }
    if vae.deterministic:
        return row
    reencoded = vae.encode(p.mean)
    return row | {
        "reencoding_mean": (z - reencoded.rsample()).square().mean(-1),
        "reencoding_logp": -reencoded.log_prob(z),
    }
