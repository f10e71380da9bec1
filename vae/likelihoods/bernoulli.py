"""Independent binary elements."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import Distribution, Independent

from lso_bench.vae.likelihoods import Likelihood


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Bernoulli elements whose logits the decoder gives; stored grey levels 0..255 are probabilities of ink."""

    binary = True

    def distribution(self, output: Float[Tensor, "b *shape"], decoder: nn.Module) -> Distribution:
        return Independent(BernoulliDistribution(logits=output, validate_args=False), output.dim() - 1)

    def mean(self, output: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        return output.sigmoid()

    def draw(self, p: Distribution, noise: Float[Tensor, "#b *shape"]) -> Float[Tensor, "b *shape"]:
        """Return ink where its probability exceeds the noise."""
        return (p.mean > noise).float()

    def model_input(
        self, stored: Shaped[Tensor, "n *shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *shape"]:
        """Return a new draw of each grey level (Salakhutdinov & Murray 2008)."""
        return torch.bernoulli(stored.float() / 255, generator=generator)
