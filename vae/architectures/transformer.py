"""Transformers of sequences, whose tokens depend on those before them."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lso_bench.plugins.settings import at_least
from lso_bench.vae.architectures import Architecture
from lso_bench.vae.transformer import TransformerDecoder, TransformerEncoder


@dataclass(frozen=True)
class Transformer(Architecture):
    """Transformers: each token is decoded given the latent and the tokens before it, so that the latent may be ignored.

    Sizes: inferred; the weights of 32 dimensions take about 1 MB.
    """

    likelihoods: ClassVar = ("categorical",)
    images_only: ClassVar = False
    shape: tuple[int, ...] = (13, 12)  # as that of `expressions`
    likelihood: str = "categorical:vocabulary=12"
    width: int = 64  # numbers that stand for a token
    heads: int = 4  # of attention; a divisor of width
    hidden: int = 256  # units of the hidden layer of a block
    layers: int = 2  # blocks of each network
    dropout: float = 0.0  # probability that a token before is hidden from the decoder in training

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "width", "heads", "hidden", most=4096)
        at_least(self, 1, "layers", most=64)
        at_least(self, 0, "dropout", most=1)
        if self.width % self.heads:
            raise ValueError(f"heads: wanted a divisor of width, {self.width}, got {self.heads}")

    @property
    def autoregressive(self) -> bool:
        return True

    def encoder_network(self) -> nn.Module:
        return TransformerEncoder(self.shape, self.latent, self.width, self.heads, self.hidden, self.layers)

    def decoder_network(self) -> nn.Module:
        return TransformerDecoder(
            self.shape, self.latent, self.width, self.heads, self.hidden, self.layers, self.dropout
        )
