"""A ResNet encoder, with a PixelCNN or a transposed-convolution decoder."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lso_bench.vae.architectures import Architecture
from lso_bench.vae.networks import ConvDecoder, Encoder, PixelCNN

# Fewest channels for the channels-last layout, which is 1.3 times faster on a CPU. With fewer, the backward pass of
# torch 2.13 writes outside its memory on a CPU with AVX2 alone (a 1 x 1 convolution of stride 2).
NARROWEST = 8


@dataclass(frozen=True)
class ResNet(Architecture):
    """ResNet encoder and PixelCNN, or with `conv` a decoder in which every pixel depends on the latent alone.

    Source: He et al. 2019, "Lagging Inference Networks", appendix B.3, and their public code, for `paper`; the
    others are smaller.
    """

    variants: ClassVar = {
        "paper": {},
        "small": {"encoder": 32, "hidden": 128, "channels": 32, "kernels": (7, 7, 7, 5, 5, 3, 3), "skips": False},
        "conv": {"encoder": 32, "hidden": 128, "channels": 32, "kernels": ()},
    }
    likelihoods: ClassVar = ("bernoulli", "gaussian")
    encoder: int = 64  # channels of the residual blocks
    hidden: int = 512  # channels between the blocks and the latent
    channels: int = 64  # channels of the decoder
    kernels: tuple[int, ...] = (7, 7, 7, 7, 7, 5, 5, 5, 5, 3, 3, 3, 3)  # per PixelCNN layer; (): not autoregressive
    skips: bool = True  # residual blocks across every three PixelCNN layers
    gated: bool = False  # tanh times sigmoid after each masked convolution, instead of an ELU

    def __post_init__(self):
        super().__post_init__()
        counts = [self.encoder, self.hidden, self.channels, *self.kernels]
        if not all(type(n) is int and 0 < n <= 1024 for n in counts) or len(self.kernels) > 64:
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 1024, of at most 64 layers.")
        if self.kernels and self.channels < 2:
            raise ValueError(f"A PixelCNN halves its channels; wanted 2 or more, got {self.channels}.")
        if self.likelihood == "gaussian" and self.kernels:
            raise ValueError("A PixelCNN draws pixels of 0 and 1, and these data are Gaussian; choose conv.")
        if not self.kernels and (self.gated or not self.skips):
            raise ValueError("gated and skips are settings of a PixelCNN.")

    @property
    def autoregressive(self) -> bool:
        return bool(self.kernels)

    @property
    def channels_last(self) -> bool:
        return self.encoder >= NARROWEST

    def encoder_network(self) -> nn.Module:
        return Encoder(self.size, self.latent, self.encoder, self.hidden)

    def decoder_network(self) -> nn.Module:
        if self.kernels:
            return PixelCNN(self.size, self.latent, self.channels, self.kernels, self.skips, self.gated)
        return ConvDecoder(self.size, self.latent, self.channels, self.hidden, self.likelihood == "gaussian")
