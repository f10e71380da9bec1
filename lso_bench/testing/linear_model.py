"""Model with a linear decoder, which searchers are tested with and whose every measure has a closed form."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from lso_bench.search.space import Space
from lso_bench.vae.model import LatentModel


class LinearModel(LatentModel):
    """Samples around `W z + b`: binary with these logits, or, if `normal`, normal with variance 1 and this mean.

    The encoder is that of a normal decoder, whose posterior it is (Bishop 2006, equation 12.42). Samples are vectors of
    n elements, unless they have a `shape` of as many.
    """

    frozen = True

    def __init__(
        self,
        weight: Float[Tensor, "n d"],
        bias: Float[Tensor, " n"],
        normal: bool = False,
        shape: tuple[int, ...] | None = None,
    ):
        super().__init__()
        self._shape = shape or (len(weight),)
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
        return self._shape

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

    def encode(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        covariance = torch.linalg.inv(self.weight.T @ self.weight + torch.eye(self.latent).to(self.weight))
        mean = (x.flatten(1) - self.bias) @ self.weight @ covariance
        return Independent(Normal(mean, covariance.diagonal().sqrt().expand_as(mean), validate_args=False), 1)

    def decode(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Distribution:
        output = (z @ self.weight.T + self.bias).unflatten(-1, self._shape)
        elements = Normal(output, torch.ones_like(output)) if self._normal else Bernoulli(logits=output)
        return Independent(elements, len(self._shape))

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        return self.decode(z).mean


class WithoutGradient(LinearModel):
    """Linear model whose log p(x|z) has no gradient."""

    def decode(self, z: Float[Tensor, "b d"], teacher: Tensor | None = None) -> Distribution:
        return super().decode(z.detach())


def example_model(d: int, n: int = 8, normal: bool = False, shape: tuple[int, ...] | None = None) -> LinearModel:
    """Return a model of n elements whose weights are drawn from a standard normal."""
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(n, d, generator=generator), torch.randn(n, generator=generator)
    return LinearModel(weight, bias, normal, shape)


def example_space(d: int) -> Space:
    """Return the latent space of a model of images of 8 x 8 pixels, decoded to their means."""
    return Space(_model_of_images(d), "mean")


@cache
def _model_of_images(d: int) -> LinearModel:
    return example_model(d, 64, shape=(1, 8, 8))
