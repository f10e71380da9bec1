"""Training objectives of a VAE, one formula a file.

An objective is a frozen dataclass with a `__call__` that returns the terms of each image. Training minimises
mean(distortion + w(t) * rate + penalty), with w annealed towards `beta`. All terms are in nats, **summed** over pixels
and latent dimensions, then averaged over the batch. (Other libraries average the rate over latents or the distortion
over pixels; their beta differs.)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.registry import Registry
from lso_bench.vae.model import VAE


@dataclass(frozen=True)
class Terms:
    """Terms of a loss, for each image of a batch."""

    distortion: Float[Tensor, " b"]  # -log p(x|z), nats, summed over pixels
    rate: Float[Tensor, " b"]  # KL(q(z|x), p(z)), nats, summed over latents
    penalty: Float[Tensor, " b"]  # further term of the objective; zero for a plain VAE

    def loss(self, weight: float | Float[Tensor, ""] = 1.0) -> Float[Tensor, ""]:
        """Compute the mean over the batch of distortion + weight * rate + penalty."""
        return (self.distortion + weight * self.rate + self.penalty).mean()


class Objective(ABC):
    """Training objective; a frozen dataclass whose fields are its settings."""

    beta: float = 1.0  # weight of the rate after annealing
    anneal: bool = True  # whether that weight starts at 0.1 and grows
    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # names with their settings; empty: the name of the file
    deterministic: ClassVar[bool] = False  # an autoencoder: its latent is the encoder's mean, and it has no ELBO

    @abstractmethod
    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        """Compute the terms of the loss for the images `x`, which are inputs of the model."""

    def rate_weight(self, epoch: float, epochs: int, anneal_epochs: float) -> float:
        """Return the weight of the rate `epoch` epochs after the start of a training of `epochs`.

        It starts at 0.1, grows with the slope that reaches 1 in `anneal_epochs`, and stops at `beta`. Source:
        arXiv 2103.11349, section 5. A `beta` above 1 is reached in `anneal_epochs`, too (inferred; the paper has none).
        """
        if not self.anneal or anneal_epochs <= 0:
            return self.beta
        return min(self.beta, 0.1 + (max(1.0, self.beta) - 0.1) * epoch / anneal_epochs)


TABLE_1 = (  # the rows of Table 1 of arXiv 2103.11349, in its order
    "vae_noanneal",
    "vae",
    "aggressive",
    "aggressive_noanneal",
    *(f"beta_vae_{beta}" for beta in (0.9, 0.8, 0.7, 0.6, 0.5)),
    "nevae_se",
    *(f"nevae_lp_{c}" for c in (5.0, 3.0, 1.0, 0.1, 0.0, -0.1, -1.0, -3.0, -5.0)),
)
OBJECTIVES = Registry("model", Objective, __name__, "lso_bench.objectives", examples=TABLE_1)
