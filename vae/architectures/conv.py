"""A ResNet encoder and transposed convolutions."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lso_bench.vae.architectures import Architecture
from lso_bench.vae.networks import NARROWEST, ConvDecoder, Encoder


@dataclass(frozen=True)
class Conv(Architecture):
    """ResNet encoder and transposed convolutions, in which every pixel depends on the latent alone."""

    likelihoods: ClassVar = ("bernoulli", "gaussian")
    encoder: int = 32  # channels of the residual blocks
    hidden: int = 128  # channels between the blocks and the latent
    channels: int = 32  # channels of the decoder

    def __post_init__(self):
        super().__post_init__()
        if not all(type(n) is int and 0 < n <= 1024 for n in (self.encoder, self.hidden, self.channels)):
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 1024.")

    @property
    def channels_last(self) -> bool:
        return self.encoder >= NARROWEST

    def encoder_network(self) -> nn.Module:
        return Encoder(self.size, self.latent, self.encoder, self.hidden)

    def decoder_network(self) -> nn.Module:
        return ConvDecoder(self.size, self.latent, self.channels, self.hidden, self.gaussian)
