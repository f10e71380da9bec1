"""Model with a linear decoder, which searchers are tested with and whose every measure has a closed form."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from lso_bench.vae.model import LatentModel


class LinearModel(LatentModel):
    """Samples around `W z + b`: binary with these logits, or, if `normal`, normal with variance 1 and this mean.

    The encoder is that of a normal decoder, whose posterior it is (Bishop 2006, equation 12.42).
    """

    frozen = True

    def __init__(self, weight: Float[Tensor, "n d"], bias: Float[Tensor, " n"], normal: bool = False):
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.weight: Tensor
        self.bias: Tensor
        self._normal = normal

    @property
    def latent(self) -> int:
        return self.weight.shape[1]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.weight),)

    @property
    def autoregressive(self) -> bool:
        return False

    @property
    def bounded(self) -> bool:
        return not self._normal

    @property
    def binary_input(self) -> bool:
        return not self._normal

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def encode(self, x: Float[Tensor, "b n"]) -> Distribution:
        covariance = torch.linalg.inv(self.weight.T @ self.weight + torch.eye(self.latent).to(self.weight))
        mean = (x - self.bias) @ self.weight @ covariance
        return Independent(Normal(mean, covariance.diagonal().sqrt().expand_as(mean), validate_args=False), 1)

    def decode(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Distribution:
        output = z @ self.weight.T + self.bias
        elements = Normal(output, torch.ones_like(output)) if self._normal else Bernoulli(logits=output)
        return Independent(elements, 1)

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b n"]:
        return self.decode(z).mean


def example_model(d: int, n: int = 8, normal: bool = False) -> LinearModel:
    """Return a model of n elements whose weights are drawn from a standard normal."""
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(n, d, generator=generator), torch.randn(n, generator=generator)
    return LinearModel(weight, bias, normal)
