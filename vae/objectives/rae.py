"""A regularised autoencoder: no noise on the latent."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms


@dataclass(frozen=True)
class RAE(Objective):
    """Distortion + beta * |z|^2 / 2 + decay * |decoder's weights|^2, z the encoder's mean.

    Source: Ghosh et al. 2020, "From Variational to Deterministic Autoencoders" (arXiv 1903.12436), equation 11, with
    the L2 regularisation of the decoder ("RAE-L2"). Inferred: beta and decay. The encoder's variance is
    not trained, so this model has no ELBO, KL or MI.
    """

    beta: float = 0.1
    decay: float = 1e-3  # nats a squared weight
    anneal: bool = False
    deterministic: ClassVar[bool] = True

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        z = vae.encode(x).mean
        distortion = -vae.decode(z, x).log_prob(x)
        size = sum((p.square().sum() for p in vae.decoder.parameters()), start=x.new_zeros(()))
        return Terms(distortion, z.square().sum(-1) / 2, (self.decay * size).expand(len(x)))
