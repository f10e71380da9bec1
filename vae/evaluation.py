"""Evaluation of a model, as `lso-bench evaluate` does: `lso_bench.vae.metrics` and estimators of many passes."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.vae.code_use import (
    au_relative,
    decoder_use,
    error_in_cycle,
    exact,
    reencoding_draw,
    retrieval,
    token_accuracy,
)
from lso_bench.vae.datasets import Source, TextSource
from lso_bench.vae.frozen import freeze
from lso_bench.vae.metrics import BATCH, PROBABILISTIC, Metrics, Observed, measure, observe, summarise
from lso_bench.vae.model import LatentModel
from lso_bench.vae.prior_texts import prior_shares
from lso_bench.vae.sampling import sample

CODE_USE = ("decoder_use", "reencoding_draw", "retrieval", "exact", "token_accuracy")
MEANS = (
    *(*PROBABILISTIC, "distortion", "squared_error", "nll", "gap", "consistency_prior", "consistency_posterior"),
    *CODE_USE,
)


@dataclass(frozen=True)
class SampleSizes:
    """Sample sizes of the expensive estimators."""

    samples: int = 500  # latents an image for the importance-weighted NLL: Burda et al. 2016, section 5
    images: int = 100  # images over which the NLL is averaged; 0 leaves it out
    codes: int = 500  # latents for the latent consistency and the measures of `CODE_USE`; 0 leaves them out

    def __post_init__(self):
        if self.images == 1 or self.codes == 1:
            raise ValueError("A standard error wants two images and two latents or more; 0 leaves the measure out.")


def evaluate(
    vae: LatentModel,
    x: Float[Tensor, "n *shape"],
    sizes: SampleSizes | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[Metrics, Observed]:
    """Return the metrics of `vae` on images, the expensive ones included, and the values of the first pass.

    Raises:
        UnusableError: a metric is not finite.
    """
    sizes = sizes or SampleSizes()
    observed = observe(vae, x, seed, device)
    metrics = _finite(summarise(observed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shuffled = x[torch.randperm(len(x))]
        if sizes.images and vae.has_density and not vae.deterministic:
            metrics = _with_nll(metrics, *importance_gap(vae, shuffled[: sizes.images].to(device), sizes.samples))
        if sizes.codes:
            for source in ("prior", "posterior"):
                errors = latent_consistency(vae, shuffled[: sizes.codes].to(device), source)
                metrics = _with_metric(metrics, f"consistency_{source}", *_mean_and_error(errors))
    return with_code_use(metrics, vae, x, sizes, seed, device), observed


def after_training(vae: LatentModel, x: Float[Tensor, "n *shape"], seed: int = 0, device: str = "cpu") -> Metrics:
    """Return what the header of a checkpoint holds: the metrics of one pass, decoder use, and units above the noise.

    Decoder use is over as many images as in `evaluate`.
    """
    metrics = measure(vae, x, seed, device)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        metrics = _with_decoder_use(metrics, vae, x[torch.randperm(len(x))][: SampleSizes().codes].to(device))
    return replace(metrics, au_relative=au_relative(vae, x, device))


def lacks_code_use(metrics: Metrics, sizes: SampleSizes, vae: LatentModel) -> bool:
    """Return whether measures of the codes are missing, as in what older versions stored."""
    return sizes.codes > 0 and (metrics.retrieval is None or (vae.of_texts and metrics.token_accuracy is None))


def with_code_use(
    metrics: Metrics, vae: LatentModel, x: Float[Tensor, "n *shape"], sizes: SampleSizes, seed: int, device: str
) -> Metrics:
    """Return metrics with those of `vae.code_use`, over the images of the latent consistency.

    Their draws do not depend on the other sample sizes.

    Raises:
        UnusableError: a metric is not finite.
    """
    if not sizes.codes:
        return _finite(metrics)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        images = x[torch.randperm(len(x))][: sizes.codes].to(device)
        metrics = _with_decoder_use(metrics, vae, images)
        if vae.draws:
            metrics = _with_metric(metrics, "reencoding_draw", *_mean_and_error(reencoding_draw(vae, images)))
        metrics = _with_metric(metrics, "retrieval", *_share_and_error(retrieval(vae, images)))
        if vae.of_texts:
            metrics = _with_metric(metrics, "exact", *_share_and_error(exact(vae, images)))
            metrics = _with_metric(metrics, "token_accuracy", *_mean_and_error(token_accuracy(vae, images)))
    return replace(_finite(metrics), au_relative=au_relative(vae, x, device))


def with_prior_texts(
    metrics: Metrics, vae: LatentModel, source: Source, train: Tensor, sizes: SampleSizes, seed: int
) -> Metrics:
    """Return metrics of a model of texts with the shares of valid, distinct and novel texts of draws of the prior.

    Args:
        train: training samples as they are stored.
    """
    if not (isinstance(source, TextSource) and sizes.codes):
        return metrics
    shares = prior_shares(vae, source, train, sizes.codes, seed)
    errors = {name: math.sqrt(_share_variance(share * n, n)) for name, (share, n) in shares.items()}
    errors.pop("prior_distinct", None)  # texts that are alike are not independent draws
    return replace(metrics, **{name: share for name, (share, _) in shares.items()}, se=metrics.se | errors)


def _with_decoder_use(metrics: Metrics, vae: LatentModel, images: Float[Tensor, "m *shape"]) -> Metrics:
    """Return metrics with decoder use, if the model has a density."""
    if not vae.has_density:
        return metrics
    gains = decoder_use(vae, images)
    return _with_metric(metrics, "decoder_use", gains.double().mean().item(), error_in_cycle(gains))


def _finite(metrics: Metrics) -> Metrics:
    if infinite := [k for k in MEANS if not math.isfinite(getattr(metrics, k) or 0)]:
        raise UnusableError(f"its latent space has no finite {', '.join(infinite)} on these samples")
    return metrics


@torch.no_grad()
def importance_gap(vae: LatentModel, x: Float[Tensor, "m *shape"], samples: int) -> tuple[float, float]:
    """Compute mean and standard error of -ELBO minus the importance-weighted NLL over the images `x`, in nats.

    NLL = -log 1/S sum exp(log p(x|z) + log p(z) - log q(z|x)), S = `samples`: an upper bound on -log p(x) that
    grows tighter with S. Source: Burda et al. 2016, equation 8.
    """
    frozen = freeze(vae)
    gaps = []
    for image in x.split(1):
        q, prior = frozen.encode(image), frozen.prior(image)
        z = q.sample((samples,))[:, 0]  # (S, d)
        likelihood = torch.cat(
            [frozen.decode(c, image.expand(len(c), *vae.shape)).log_prob(image) for c in z.split(BATCH)]
        )
        weight = (likelihood + prior.log_prob(z) - q.log_prob(z[:, None])[:, 0]).double()  # (S,)
        gaps.append(torch.logsumexp(weight, 0) - math.log(samples) - weight.mean())
    return _mean_and_error(torch.stack(gaps))


@torch.no_grad()
def latent_consistency(vae: LatentModel, x: Float[Tensor, "m *shape"], source: str) -> Float[Tensor, " m"]:
    """Compute |mu(x') - z| with x' ~ p(x|z), for as many latents z as images, with z from `source`.

    `source` is "prior" for z ~ p(z), or "posterior" for z ~ q(z|x). The distance is Euclidean, in prior standard
    deviations. x' is drawn from the model without a teacher, so an autoregressive decoder sees no pixel of z's
    image that it did not draw.
    """
    q = vae.encode(x)
    posterior = q.mean if vae.deterministic else q.sample()
    z = vae.prior(x).sample((len(x),)) if source == "prior" else posterior
    drawn = torch.cat([sample(vae, part)[0] for part in z.split(BATCH)])
    return (vae.encode(drawn).mean - z).square().sum(-1).sqrt()


def _with_nll(metrics: Metrics, gap: float, error: float) -> Metrics:
    """Return metrics with the NLL of all images: their -ELBO minus the mean gap of a subset.

    The gap varies less than the NLL of the subset alone.
    """
    assert metrics.nelbo is not None
    total_error = math.hypot(metrics.se["nelbo"], error)
    return _with_metric(_with_metric(metrics, "gap", gap, error), "nll", metrics.nelbo - gap, total_error)


def _with_metric(metrics: Metrics, key: str, value: float, error: float) -> Metrics:
    return replace(metrics, **{key: value}, se=metrics.se | {key: error})


def _mean_and_error(values: Float[Tensor, " m"]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return values.double().mean().item(), values.double().std().item() / math.sqrt(len(values))


def _share_and_error(shares: Float[Tensor, " n"]) -> tuple[float, float]:
    """Return the mean of values in [0, 1] and its standard error, which is above 0 also where all are 0 or 1.

    The error is the standard deviation of the posterior of a share under a uniform prior. Source: Gelman et al. 2013,
    "Bayesian Data Analysis", chapter 2.
    """
    n, total = len(shares), shares.double().sum().item()
    return total / n, math.sqrt(_share_variance(total, n))


def _share_variance(total: float, n: int) -> float:
    """Return the variance of the posterior of a share, of which `total` of n draws were counted."""
    expected = (total + 1) / (n + 2)
    return expected * (1 - expected) / (n + 3)
