"""A ResNet encoder and a deep PixelCNN."""

from dataclasses import dataclass

from torch import nn

from lso_bench.vae.architectures import Architecture
from lso_bench.vae.networks import NARROWEST, Encoder, PixelCNN

MOST_LAYERS = 64


@dataclass(frozen=True)
class Paper(Architecture):
    """ResNet encoder and PixelCNN with residual blocks across layers.

    Source: He et al. 2019, "Lagging Inference Networks", appendix B.3, and their public code.
    """

    encoder: int = 64  # channels of the residual blocks
    hidden: int = 512  # channels between the blocks and the latent
    channels: int = 64  # channels of the decoder
    kernels: tuple[int, ...] = (7, 7, 7, 7, 7, 5, 5, 5, 5, 3, 3, 3, 3)  # of each PixelCNN layer
    skips: bool = True  # residual blocks across every three PixelCNN layers
    gated: bool = False  # tanh times sigmoid after each masked convolution, instead of an ELU

    def __post_init__(self):
        super().__post_init__()
        counts = [self.encoder, self.hidden, self.channels, *self.kernels]
        if not all(type(n) is int and 0 < n <= 1024 for n in counts) or not 0 < len(self.kernels) <= MOST_LAYERS:
            raise ValueError(
                f"Sizes of an architecture are whole numbers from 1 to 1024, of at most {MOST_LAYERS} layers."
            )
        if self.channels < 2:
            raise ValueError(f"A PixelCNN halves its channels; wanted 2 or more, got {self.channels}.")

    @property
    def autoregressive(self) -> bool:
        return True

    @property
    def channels_last(self) -> bool:
        return self.encoder >= NARROWEST

    def encoder_network(self) -> nn.Module:
        return Encoder(self.size, self.latent, self.encoder, self.hidden)

    def decoder_network(self) -> nn.Module:
        return PixelCNN(self.size, self.latent, self.channels, self.kernels, self.skips, self.gated)
