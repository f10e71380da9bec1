"""Models: an encoder and a decoder as conditional distributions."""

from abc import abstractmethod
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from lso_bench.vae.architectures import Architecture
from lso_bench.vae.likelihoods import LIKELIHOODS, Likelihood
from lso_bench.vae.likelihoods.categorical import Categorical


class LatentModel(nn.Module):
    """Model with a latent space: q(z|x), p(x|z) and the prior p(z)."""

    has_encoder = True
    has_density = True  # whether log p(x|z) is known
    draws = True  # whether samples can be drawn from p(x|z)
    deterministic = False  # whether q(z|x) has no variance: the latent of x is the mean
    frozen = False  # in evaluation mode and without weight gradients

    @property
    @abstractmethod
    def latent(self) -> int:
        """Return the number of latent dimensions, d."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Return the shape of a sample."""

    @property
    @abstractmethod
    def autoregressive(self) -> bool:
        """Return whether a part of a sample depends on the parts before it."""

    @property
    @abstractmethod
    def bounded(self) -> bool:
        """Return whether samples lie in [0, 1]."""

    @property
    def of_texts(self) -> bool:
        """Return whether samples are texts."""
        return False

    @property
    @abstractmethod
    def binary_input(self) -> bool:
        """Return whether the encoder was trained on binary samples alone."""

    @property
    def discrete(self) -> bool:
        """Return whether the data are binary or texts, so that a mean in [0, 1] stands for its likeliest sample."""
        return self.binary_input or self.of_texts

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Return the device of the weights."""

    @abstractmethod
    def encode(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        """Return q(z|x): batch (b,), event (d,)."""

    @abstractmethod
    def decode(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b *shape"] | None = None) -> Any:
        """Return p(x|z): batch (b,), event the shape of a sample. `teacher`: see `VAE.decode`."""

    @abstractmethod
    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        """Return the mean of p(x|z), of a decoder that is not autoregressive."""

    def likeliest(self, x: Float[Tensor, "b *shape"]) -> Bool[Tensor, "b *shape"]:
        """Return the binary sample nearest to a decoded one."""
        return x > 0.5

    def in_precision(self, dtype: torch.dtype) -> "LatentModel":
        """Return a copy for samples and latents of a dtype."""
        with torch.no_grad():  # else the weights of a scripted copy are no leaves
            return deepcopy(self).to(dtype)

    def prior(self, like: Tensor) -> Distribution:
        """Return p(z) = N(0, I): batch (), event (d,), on the device of `like`."""
        zero = torch.zeros(self.latent, device=like.device, dtype=like.dtype)
        return Independent(Normal(zero, torch.ones_like(zero), validate_args=False), 1)


class VAE(LatentModel):
    """Variational autoencoder: q(z|x), a diagonal normal, and p(x|z), which the data's likelihood makes of outputs.

    Source: Kingma & Welling 2014. If `deterministic`, the variance of q(z|x) was not trained and is 0.
    """

    def __init__(self, arch: Architecture, deterministic: bool = False):
        super().__init__()
        self.arch = arch
        self.deterministic = deterministic
        self.encoder = arch.encoder_network()
        self.decoder: Any = arch.decoder_network()

    @cached_property
    def density(self) -> Likelihood:
        """Likelihood of the data."""
        return LIKELIHOODS.build(self.arch.likelihood)

    @property
    def latent(self) -> int:
        return self.arch.latent

    @property
    def shape(self) -> tuple[int, ...]:
        return self.arch.shape

    @property
    def autoregressive(self) -> bool:
        return self.arch.autoregressive

    @property
    def bounded(self) -> bool:
        return self.density.bounded

    @property
    def of_texts(self) -> bool:
        return isinstance(self.density, Categorical)

    @property
    def binary_input(self) -> bool:
        return self.density.binary

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def encode(self, x: Float[Tensor, "b *shape"]) -> Distribution:
        mean, log_variance = _single_precision(self.encoder(x)).chunk(2, dim=-1)  # (b, d) each
        std = torch.zeros_like(mean) if self.deterministic else (log_variance / 2).exp()
        return Independent(Normal(mean, std, validate_args=False), 1)

    def decode(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b *shape"] | None = None) -> Distribution:
        """Return p(x|z): batch (b,), event the shape of a sample.

        `teacher` is the sample that an autoregressive decoder is conditioned on: each pixel of the result
        depends on z and on the teacher's pixels above it and to its left. Other decoders ignore it.
        """
        output = self.decoder(z, teacher) if self.arch.autoregressive else self.decoder(z)
        return self.density.distribution(_single_precision(output), self.decoder)

    def mean(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "b *shape"]:
        return self.density.mean(_single_precision(self.decoder(z)))

    def likeliest(self, x: Float[Tensor, "b *shape"]) -> Bool[Tensor, "b *shape"]:
        return self.density.likeliest(x)


def _single_precision(output: Tensor) -> Tensor:
    """Return the output of a network in single precision, also under autocast: sums over all elements need it."""
    return output.float() if output.dtype is torch.bfloat16 else output
