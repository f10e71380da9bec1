"""Architectures: the networks of a model, one family a file.

To add one, save a file here with one subclass of `Architecture`, a frozen dataclass:

- its fields are the settings (`--arch name:field=value`);
- `encoder_network()` and `decoder_network()` build the networks;
- the file's name is the architecture's name, or `variants` lists names with their settings.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from torch import nn

from lso_bench.errors import UsageError
from lso_bench.plugins.registry import Registry

Likelihood = Literal["bernoulli", "gaussian"]  # of a pixel


@dataclass(frozen=True)
class Architecture(ABC):
    """Networks of a model of square grey images; a frozen dataclass whose fields are its settings."""

    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # names with their settings; empty: the name of the file
    likelihoods: ClassVar[tuple[Likelihood, ...]] = ("bernoulli",)  # that the decoder has
    size: int = 28  # pixels a side, as in the data
    latent: int = 32  # latent dimensions, d
    likelihood: Likelihood = "bernoulli"  # of a pixel, as in the data

    def __post_init__(self):
        if not all(type(n) is int and 0 < n <= 1024 for n in (self.size, self.latent)):
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 1024.")
        if self.likelihood not in self.likelihoods:
            raise ValueError(f"A likelihood is one of {self.likelihoods}, not {self.likelihood!r}.")

    @property
    def autoregressive(self) -> bool:
        """Return whether the decoder is a `PixelCNN`, in which a pixel depends on those before it (default: no)."""
        return False

    @property
    def channels_last(self) -> bool:
        """Return whether training is faster with the channels last in memory (default: no)."""
        return False

    @abstractmethod
    def encoder_network(self) -> nn.Module:
        """Build the encoder: images (b, 1, h, w) to means and log variances of the latent (b, 2d)."""

    @abstractmethod
    def decoder_network(self) -> nn.Module:
        """Build the decoder: latents (b, d) to logits (b, 1, h, w).

        A PixelCNN also gets the images of teacher forcing. For a Gaussian likelihood the sigmoid of a logit is the mean
        of a pixel, and the module has its standard deviation, `sigma`.
        """


FIXED = {  # fields that no text sets
    "size": "it is that of the data",
    "likelihood": "it is that of the data",
    "latent": "it has an option of its own, --latent",
}
ARCHITECTURES = Registry("architecture", Architecture, __name__, "lso_bench.architectures", fixed=FIXED)


def architecture(text: str, latent: int, size: int = 28, likelihood: Likelihood = "bernoulli") -> Architecture:
    """Return the architecture of `name` or `name:setting=value,...`, for `latent` dimensions and images of `size`
    pixels a side.

    Raises:
        UsageError: the name or setting does not exist, or does not fit the images.
    """
    arch = ARCHITECTURES.build(text)
    try:
        return replace(arch, latent=latent, size=size, likelihood=likelihood)
    except ValueError as error:
        raise UsageError(f"Architecture {text!r}: {error}") from error
