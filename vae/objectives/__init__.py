"""What a VAE is trained to minimise, one formula a file.

An objective is a frozen dataclass with a `__call__` that gives the terms of each image; training minimises
mean(distortion + w(t) * rate + penalty), with w annealed towards `beta`. All terms are in nats, **summed** over
pixels and latent dimensions, then averaged over the batch. (Other libraries average the rate over latents or
the distortion over pixels; their beta is then a different one.)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vae.model import VAE


@dataclass(frozen=True)
class Terms:
    """The terms of a loss, for each image of a batch."""

    distortion: Float[Tensor, " b"]  # -log p(x|z), nats, summed over pixels
    rate: Float[Tensor, " b"]  # KL(q(z|x), p(z)), nats, summed over latents
    penalty: Float[Tensor, " b"]  # what the objective adds; zero for a plain VAE

    def loss(self, weight: float = 1.0) -> Float[Tensor, ""]:
        """mean over the batch of distortion + weight * rate + penalty."""
        return (self.distortion + weight * self.rate + self.penalty).mean()


class Objective(ABC):
    """One training objective; a frozen dataclass whose fields are its settings."""

    beta: float  # weight of the rate when annealing is over
    anneal: bool  # whether that weight starts at 0.1 and grows

    @abstractmethod
    def __call__(self, vae: VAE, x: Float[Tensor, "b 1 h w"]) -> Terms:
        """The terms of the loss for the binary images `x`."""
