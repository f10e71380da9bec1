"""Architectures: the networks of a model, one a file.

To add one, save a file here with one subclass of `Architecture`, a frozen dataclass:

- its fields are the settings (`--arch name:field=value`);
- `encoder_network()` and `decoder_network()` build the networks for samples of `shape` and `latent` dimensions;
- `autoregressive` says whether an element of a sample depends on those before it;
- the file's name is the architecture's name, or `variants` lists names with their settings.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import name_of
from lso_bench.plugins.registry import Registry

IMAGE = (1, 28, 28)  # shape of the samples of the paper
SUITED = {  # architectures that have a likelihood
    "bernoulli": "small, paper, conv or mlp",
    "gaussian": "conv or mlp",
    "categorical": "gru, transformer, parallel or mlp",
}


@dataclass(frozen=True)
class Architecture(ABC):
    """Networks of a model; a frozen dataclass whose fields are its settings."""

    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # names with their settings; empty: the name of the file
    likelihoods: ClassVar[tuple[str, ...]] = ("bernoulli",)  # that the decoder has
    images_only: ClassVar[bool] = True  # whether samples must be square grey images
    shape: tuple[int, ...] = IMAGE  # of a sample, as in the data
    latent: int = 32  # latent dimensions, d
    likelihood: str = "bernoulli"  # of an element of a sample, as in the data

    def __post_init__(self):
        if not self.shape or not all(type(n) is int and 0 < n <= 1024 for n in (*self.shape, self.latent)):
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 1024.")
        if name_of(self.likelihood) not in self.likelihoods:
            raise ValueError(
                f"The likelihood of its decoder is {' or '.join(self.likelihoods)}, and that of these data "
                f"{self.likelihood}; choose {SUITED.get(name_of(self.likelihood), 'mlp')}, or extend your own "
                "file (docs/bring-your-own.md, An architecture)."
            )
        if self.images_only and not (len(self.shape) == 3 and self.shape[0] == 1 and self.shape[1] == self.shape[2]):
            raise ValueError(f"Its samples are square grey images, not of shape {self.shape}; choose mlp.")

    @property
    def size(self) -> int:
        """Return the side of a square image, in pixels."""
        return self.shape[-1]

    @property
    def gaussian(self) -> bool:
        """Return whether the decoder needs a standard deviation."""
        return name_of(self.likelihood) == "gaussian"

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
        """Build the encoder: samples (b, *shape) to means and log variances of the latent (b, 2d)."""

    @abstractmethod
    def decoder_network(self) -> nn.Module:
        """Build the decoder: latents (b, d) to outputs (b, *shape), from which the likelihood is made.

        Outputs are logits of a Bernoulli or of tokens; for a Gaussian the module has the standard deviation of an
        element, `sigma` (`lso_bench.vae.networks.Sigma`). A PixelCNN also gets the samples of teacher forcing.
        """


FIXED = {  # fields that no text sets
    "shape": "it is that of the data",
    "size": "it is that of the data",
    "likelihood": "it is that of the data",
    "latent": "it has an option of its own, --latent",
}
ARCHITECTURES = Registry("architecture", Architecture, __name__, "lso_bench.architectures", fixed=FIXED)


def architecture(text: str, latent: int, shape: tuple[int, ...] = IMAGE, likelihood: str = "bernoulli") -> Architecture:
    """Return the architecture of `name` or `name:setting=value,...`, for `latent` dimensions and samples of a shape.

    Raises:
        UsageError: the name or setting does not exist, or does not fit the samples.
    """
    arch = ARCHITECTURES.build(text)
    try:
        return replace(arch, latent=latent, shape=tuple(shape), likelihood=likelihood)
    except ValueError as error:
        raise UsageError(f"Architecture {text!r}: {error}") from error
