"""Measures of how far a decoder uses its code, which neither grey levels nor a teacher can fool."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.vae.likelihoods.categorical import END
from lso_bench.vae.metrics import BATCH, BLOCK
from lso_bench.vae.model import LatentModel
from lso_bench.vae.sampling import sample

DRAWS = 4  # free-running samples of a latent


@torch.no_grad()
def decoder_use(vae: LatentModel, x: Float[Tensor, "m *shape"]) -> Float[Tensor, " m"]:
    """Compute log p(x|z) - log p(x|z') in nats, with z ~ q(z|x), and z' the latent of another image.

    The images are put in a random cycle, which is the order of the result, and z' is the latent of the image before.
    The mean is 0 for a decoder that ignores its latent. An autoregressive decoder sees the pixels of x before each
    pixel in both terms. Source: Cheng et al. 2020, "CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information",
    section 3, with one z' an image. The mean is above the mutual information where p(x|z) is exact for q(z|x).
    """
    x = x[torch.randperm(len(x)).to(x.device)]
    z = vae.encode(x).rsample()
    return _log_likelihood(vae, x, z) - _log_likelihood(vae, x, z.roll(1, 0))


def _log_likelihood(vae: LatentModel, x: Float[Tensor, "m *shape"], z: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    batches = zip(x.split(BATCH), z.split(BATCH), strict=True)
    return torch.cat([vae.decode(latents, images).log_prob(images) for images, latents in batches])


def error_in_cycle(values: Float[Tensor, " m"]) -> float:
    """Compute the standard error of a mean of values in a cycle, of which only neighbours depend on each other.

    The variance of the mean is (v + 2 c) / m, with v the variance and c the covariance of neighbours. A negative c is
    left out, so that the error is never below that of independent values.
    """
    deviations = values.double() - values.double().mean()
    covariance = (deviations * deviations.roll(1)).mean().clamp(min=0)
    return ((deviations.var() + 2 * covariance) / len(values)).sqrt().item()


@torch.no_grad()
def reencoding_draw(vae: LatentModel, x: Float[Tensor, "m *shape"]) -> Float[Tensor, " m"]:
    """Compute the mean over dimensions of (z - z')^2, with z ~ q(z|x), z' ~ q(z|x') and x' drawn from p(x|z).

    `Metrics.reencoding_mean` has the mean image in place of x', whose grey levels can carry the code. x' is drawn
    without a teacher: pixels of x before a pixel would tell of x, whatever the decoder does with z.
    """
    z = vae.encode(x).rsample()
    drawn = torch.cat([sample(vae, part)[0] for part in z.split(BATCH)])
    return (z - vae.encode(drawn).rsample()).square().mean(-1)


@torch.no_grad()
def au_relative(vae: LatentModel, x: Float[Tensor, "n *shape"], device: str) -> int | None:
    """Count the dimensions whose mean varies over the images more than the noise of the posterior.

    Dimension j counts where the standard deviation of mu_j over images is above the root mean square of its posterior
    standard deviation. The count does not depend on the scale of a dimension. None of a deterministic model, which
    has no noise.
    """
    if vae.deterministic:
        return None
    posteriors = [vae.encode(part.to(device)) for part in x.split(BATCH)]
    noise = torch.cat([q.variance for q in posteriors]).mean(0)  # (d,)
    return int((torch.cat([q.mean for q in posteriors]).var(0) > noise).sum())


@torch.no_grad()
def retrieval(vae: LatentModel, x: Float[Tensor, "m *shape"]) -> Float[Tensor, " k"]:
    """Return for each image whether its reconstruction is nearer to it than to the others of its set: 1 or 0.

    An image that shares the least distance with others counts a part. Sets are whole sets of BLOCK images, or all
    images where they are fewer. The reconstruction is decoded from mu(x): drawn without a teacher if the decoder is
    autoregressive, else the mean image. The distance is Euclidean. The mean at chance is 1 / size of the set.
    """
    sets = [s for s in x.split(BLOCK) if len(s) == min(BLOCK, len(x))]
    return torch.cat([_retrieved(_reconstruction(vae, s), s) for s in sets])


def retrieval_chance(images: int) -> float:
    """Return the share of `retrieval` over so many images where no reconstruction tells of its image."""
    return 1 / min(BLOCK, images)


def _reconstruction(vae: LatentModel, x: Float[Tensor, "m *shape"]) -> Float[Tensor, "m *shape"]:
    mean = vae.encode(x).mean
    return sample(vae, mean)[0] if vae.autoregressive else vae.decode(mean).mean


def _retrieved(
    decoded: Float[Tensor, "k *shape"], x: Float[Tensor, "m *shape"], indices: Int[Tensor, " k"] | None = None
) -> Float[Tensor, " k"]:
    """Return 1 where the nearest of x has the decoded sample's index, else 0; a part where several are nearest."""
    exact = "donot_use_mm_for_euclid_dist"  # equal distances stay equal
    distance = torch.cdist(decoded.flatten(1), x.flatten(1), compute_mode=exact)  # (k, m)
    nearest = distance == distance.min(-1, keepdim=True).values
    indices = torch.arange(len(decoded), device=x.device) if indices is None else indices
    return nearest[torch.arange(len(decoded)), indices] / nearest.sum(-1)


@torch.no_grad()
def retrieval_of_latents(
    vae: LatentModel, z: Float[Tensor, "k d"], x: Float[Tensor, "m *shape"], indices: Int[Tensor, " k"], seed: int
) -> Float[Tensor, " k"]:
    """Return for each latent the share of its free-running samples that are nearest to its target among all targets.

    DRAWS samples of each latent are drawn from p(x|z) without a teacher. Distances and ties are as in `retrieval`.
    The mean at chance is 1 / m.

    Args:
        x: all targets.
        indices: index in x of the target of each latent.
        seed: of the random numbers of the draws.
    """
    z, indices = z.repeat(DRAWS, 1), indices.repeat(DRAWS)
    noise = torch.rand(len(z), *vae.shape, generator=torch.Generator().manual_seed(seed)).to(z)
    drawn = torch.cat([sample(vae, *part)[0] for part in zip(z.split(BATCH), noise.split(BATCH), strict=True)])
    return _retrieved(drawn, x, indices.to(x.device)).unflatten(0, (DRAWS, -1)).mean(0)


@torch.no_grad()
def exact(vae: LatentModel, x: Float[Tensor, "m t v"]) -> Float[Tensor, " m"]:
    """Return for each text whether the text decoded from mu(x) is the same: 1 or 0."""
    return (_decoded(vae, x) == x.argmax(-1)).all(-1).float()


@torch.no_grad()
def token_accuracy(vae: LatentModel, x: Float[Tensor, "m t v"]) -> Float[Tensor, " m"]:
    """Return for each text the share of its tokens, with its end, that the text decoded from mu(x) has there."""
    right, ended = _decoded(vae, x) == x.argmax(-1), x[..., END].cumsum(-1)
    counted = ended <= 1  # up to and with the first end
    return (right & counted).sum(-1) / counted.sum(-1)


def _decoded(vae: LatentModel, x: Float[Tensor, "m t v"]) -> Int[Tensor, "m t"]:
    """Return the tokens decoded from mu(x): the likeliest at each position in turn, without a teacher."""
    z = vae.encode(x).mean
    even = torch.full_like(x[:1], 0.5)
    decoded = [sample(vae, part, even.expand(len(part), *vae.shape))[0] for part in z.split(BATCH)]
    return torch.cat(decoded).argmax(-1)
