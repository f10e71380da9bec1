"""All that `lso-bench evaluate` measures: `vae.metrics` and what takes many passes over the images."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.vae.errors import UnusableError
from lso_bench.vae.frozen import freeze
from lso_bench.vae.metrics import BATCH, PROBABILISTIC, Metrics, Observed, observe, summarise
from lso_bench.vae.model import VAE
from lso_bench.vae.sampling import sample

MEANS = (*PROBABILISTIC, "distortion", "squared_error", "nll", "gap", "consistency_prior", "consistency_posterior")


@dataclass(frozen=True)
class SampleSizes:
    """How much of the test set the dear estimators see."""

    samples: int = 500  # codes an image, of the importance-weighted NLL: Burda et al. 2016, section 5
    images: int = 100  # over which it is averaged; 0 leaves it out
    codes: int = 500  # from which images are drawn, for the latent consistency; 0 leaves it out

    def __post_init__(self):
        if self.images == 1 or self.codes == 1:
            raise ValueError("A standard error wants two images and two codes or more; 0 leaves the measure out.")


def evaluate(
    vae: VAE,
    x: Float[Tensor, "n 1 h w"],
    effort: SampleSizes | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[Metrics, Observed]:
    """Return the metrics of `vae` on images, those included that take many passes; and what one pass gave.

    Raises:
        UnusableError: a measure is not finite.
    """
    effort = effort or SampleSizes()
    observed = observe(vae, x, seed, device)
    found = _finite(summarise(observed))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        some = x[torch.randperm(len(x))]
        if effort.images and not vae.deterministic:
            found = _with_nll(found, *importance_gap(vae, some[: effort.images].to(device), effort.samples))
        if effort.codes:
            for source in ("prior", "posterior"):
                errors = latent_consistency(vae, some[: effort.codes].to(device), source)
                found = _with(found, f"consistency_{source}", *_mean(errors))
    return _finite(found), observed


def _finite(metrics: Metrics) -> Metrics:
    if endless := [k for k in MEANS if not math.isfinite(getattr(metrics, k) or 0)]:
        raise UnusableError(f"its latent space has no finite {', '.join(endless)} on these images")
    return metrics


@torch.no_grad()
def importance_gap(vae: VAE, x: Float[Tensor, "m 1 h w"], samples: int) -> tuple[float, float]:
    """Mean and standard error of -ELBO minus the importance-weighted NLL, over the images `x`, in nats.

    NLL = -log 1/S sum exp(log p(x|z) + log p(z) - log q(z|x)), S = `samples`: an upper bound on -log p(x) that
    grows tighter with S. Source: Burda et al. 2016, equation 8.
    """
    frozen = freeze(vae)
    gaps = []
    for image in x.split(1):
        q, prior = frozen.encode(image), frozen.prior(image)
        z = q.sample((samples,))[:, 0]  # (S, d)
        likelihood = torch.cat(
            [frozen.decode(c, image.expand(len(c), -1, -1, -1)).log_prob(image) for c in z.split(BATCH)]
        )
        weight = (likelihood + prior.log_prob(z) - q.log_prob(z[:, None])[:, 0]).double()  # (S,)
        gaps.append(torch.logsumexp(weight, 0) - math.log(samples) - weight.mean())
    return _mean(torch.stack(gaps))


@torch.no_grad()
def latent_consistency(vae: VAE, x: Float[Tensor, "m 1 h w"], source: str) -> Float[Tensor, " m"]:
    """|mu(x') - z| with x' ~ p(x|z), for as many codes z as images, from the "prior" or from q(z|x): "posterior".

    Euclidean, in prior standard deviations. x' is drawn from the model itself, without a teacher, so that an
    autoregressive decoder sees no more of z's image than it drew.
    """
    q = vae.encode(x)
    own = q.mean if vae.deterministic else q.sample()
    z = vae.prior(x).sample((len(x),)) if source == "prior" else own
    drawn = torch.cat([sample(vae, part)[0] for part in z.split(BATCH)])
    return (vae.encode(drawn).mean - z).square().sum(-1).sqrt()


def _with_nll(found: Metrics, gap: float, error: float) -> Metrics:
    """The NLL of all images: their -ELBO, less the gap of some. That varies less than the NLL of some alone."""
    assert found.nelbo is not None
    both = math.hypot(found.se["nelbo"], error)
    return _with(_with(found, "gap", gap, error), "nll", found.nelbo - gap, both)


def _with(found: Metrics, key: str, value: float, error: float) -> Metrics:
    return replace(found, **{key: value}, se=found.se | {key: error})


def _mean(values: Float[Tensor, " m"]) -> tuple[float, float]:
    """Mean and its standard error."""
    return values.double().mean().item(), values.double().std().item() / math.sqrt(len(values))
