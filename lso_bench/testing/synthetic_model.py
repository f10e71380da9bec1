"""Synthetic frozen model, whose samples searchers of the contract kit may decode."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from lso_bench.search.space import Space
from lso_bench.vae.model import LatentModel

SIDE = 8  # pixels a side of an image
SPREAD = 0.1  # standard deviation of q(z|x)


class SyntheticModel(LatentModel):
    """Model of grey images: logits of the pixels are a fixed random linear map of z, which the encoder inverts."""

    frozen = True
    weight: Tensor  # (d, pixels)
    bias: Tensor  # (pixels,)

    def __init__(self, latent: int):
        super().__init__()
        seeded = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(latent, SIDE * SIDE, generator=seeded))
        self.register_buffer("bias", torch.randn(SIDE * SIDE, generator=seeded))

    @property
    def latent(self) -> int:
        return len(self.weight)

    @property
    def shape(self) -> tuple[int, ...]:
        return 1, SIDE, SIDE

    @property
    def autoregressive(self) -> bool:
        return False

    @property
    def bounded(self) -> bool:
        return True

    @property
    def binary_input(self) -> bool:
        return False

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def encode(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        mean = (x.flatten(1).logit(1e-3) - self.bias) @ torch.linalg.pinv(self.weight)
        return Independent(Normal(mean, torch.full_like(mean, SPREAD)), 1)

    def decode(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b *shape"] | None = None) -> Distribution:
        return Independent(Bernoulli(self.mean(z), validate_args=False), 3)

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        return (z @ self.weight + self.bias).sigmoid().unflatten(-1, self.shape)


def synthetic_space(latent: int) -> Space:
    """Return the space of the synthetic model of so many latent dimensions."""
    return Space(_model(latent), "mean")


@cache
def _model(latent: int) -> SyntheticModel:
    return SyntheticModel(latent).requires_grad_(False)
