"""Penalties that keep a search where a model has data: what each costs a latent."""

import math

from jaxtyping import Float
from torch import Tensor

from lso_bench.search.local_volume import local_volume
from lso_bench.search.space import Space

PENALTIES = {
    "none": "no penalty",
    "prior": "how much less likely |z| is under the prior than on the prior's shell, in nats; 0 inside the shell",
    "likelihood": "-log p(x|z) of the decoded sample x, in nats",
    "les": "minus the log density, in nats, that the prior has at the decoded probabilities (Ronen et al. 2024)",
    "consistency": "the distance |mu(x) - z| of z from the encoder's mean of the decoded sample",
}
BY_DECODER = ("likelihood", "les")  # penalties whose gradient passes the decoder


def penalty(kind: str, space: Space, u: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]) -> Float[Tensor, " b"]:
    """Return a penalty of points, with a gradient where they require one.

    Args:
        kind: one of `PENALTIES`, not `none`.
        u: coordinates.
        x: their decoded samples, discrete (`Space.discrete_of`), through which no gradient passes.
    """
    if kind == "likelihood":
        return -space.log_prob(x, u)
    z = space.to_z(u)
    if kind == "prior":
        return beyond_shell(z)
    if kind == "les":
        space.decodes += len(z) * z.shape[1]
        return negative_score(z, local_volume(space.vae, z, x))
    return (space.posterior(x).mean - z).norm(dim=-1)


def beyond_shell(z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """Return by how many nats the density of |z| under N(0, I) is below that of its mode, beyond the mode.

    |z| has a chi distribution of d degrees of freedom, whose mode is sqrt(d - 1). Nearer to the origin nothing is
    penalised (inferred): a decoder has seen what lies around the origin.
    """
    mode = math.sqrt(z.shape[1] - 1)
    radius = z.norm(dim=-1).clamp_min(mode)
    fall = (radius.square() - mode**2) / 2
    return fall if mode == 0 else fall - mode**2 * (radius / mode).log()


def negative_score(z: Float[Tensor, "b d"], volume: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Return minus the log density that the prior's push-forward has at the decoded point (change of variables).

    Ronen et al. 2024 (arXiv 2406.09657); their code (repository OmerRonen/les) has minus the volume alone,
    without the prior.
    """
    return z.square().sum(-1) / 2 + z.shape[1] / 2 * math.log(2 * math.pi) + volume.to(z)
