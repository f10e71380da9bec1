"""Recurrent networks of sequences, whose tokens depend on those before them."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lso_bench.plugins.settings import at_least
from lso_bench.vae.architectures import Architecture
from lso_bench.vae.recurrent import RecurrentDecoder, RecurrentEncoder


@dataclass(frozen=True)
class GRU(Architecture):
    """GRUs: each token is decoded given the latent and the tokens before it, so that the latent may be ignored.

    Source of the kind: Bowman et al. 2016, "Generating Sentences from a Continuous Space". Sizes: inferred.
    """

    likelihoods: ClassVar = ("categorical",)
    images_only: ClassVar = False
    shape: tuple[int, ...] = (13, 12)  # as that of `expressions`
    likelihood: str = "categorical:vocabulary=12"
    embedding: int = 48  # numbers that stand for a token
    hidden: int = 128  # units of the state
    dropout: float = 0.0  # probability that a token before is hidden from the decoder in training

    def __post_init__(self):
        super().__post_init__()
        at_least(self, 1, "embedding", "hidden", most=4096)
        at_least(self, 0, "dropout", most=1)

    @property
    def autoregressive(self) -> bool:
        return True

    def encoder_network(self) -> nn.Module:
        return RecurrentEncoder(self.shape[-1], self.latent, self.embedding, self.hidden)

    def decoder_network(self) -> nn.Module:
        return RecurrentDecoder(self.shape[-1], self.latent, self.embedding, self.hidden, self.dropout)
