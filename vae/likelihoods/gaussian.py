"""Independent normal elements that share one standard deviation."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lso_bench.vae.likelihoods import Likelihood

LEAST = 2.0**-24  # smallest noise of an element: torch.rand may return 0, whose quantile is infinite


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Normal elements; the decoder gives their means and holds their standard deviation, `sigma`.

    Means of bounded samples are sigmoids of the output. Stored grey levels 0..255 become 0 to 1; stored numbers stay.
    """

    bounded: bool = True

    def distribution(self, output: Float[Tensor, "b *shape"], decoder: nn.Module) -> Distribution:
        assert isinstance(decoder.sigma, Tensor), "the standard deviation of an element"
        normal = Normal(self.mean(output), decoder.sigma, validate_args=False)
        return Independent(normal, output.dim() - 1)

    def mean(self, output: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        return output.sigmoid() if self.bounded else output

    def draw(self, p: Distribution, noise: Float[Tensor, "#b *shape"]) -> Float[Tensor, "b *shape"]:
        """Return the quantile of each element at the noise."""
        assert isinstance(p, Independent)
        return p.base_dist.icdf(noise.clamp(min=LEAST))

    def straight_through(self, p: Distribution, noise: Float[Tensor, "#b *shape"]) -> Float[Tensor, "b *shape"]:
        """Return the quantile of each element at the noise, whose gradient is exact."""
        return self.draw(p, noise)

    def model_input(
        self, stored: Shaped[Tensor, "n *shape"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *shape"]:
        return stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()
