"""Fully connected networks of sequences, whose tokens are decoded all at once."""

from dataclasses import dataclass

from torch import nn

from lso_bench.vae.architectures.mlp import MLP
from lso_bench.vae.networks import FullyConnectedDecoder, fully_connected


@dataclass(frozen=True)
class Parallel(MLP):
    """Embedding that all positions share, hidden layers, and logits of all tokens at once, given the latent alone.

    A token is independent of the tokens before it, given the latent; so a collapsed latent costs much. Source of the
    kind: the SELFIES VAE of Gonzalez-Duque et al. 2024 (arXiv 2406.04739), with three hidden layers. Sizes: inferred.
    """

    hidden: int = 512
    layers: int = 2
    embedding: int = 32  # numbers that stand for a token

    def __post_init__(self):
        super().__post_init__()
        if not (type(self.embedding) is int and 0 < self.embedding <= 1024):
            raise ValueError(f"embedding: wanted a whole number from 1 to 1024, got {self.embedding}")

    def encoder_network(self) -> nn.Module:
        embedded = nn.Linear(self.shape[-1], self.embedding, bias=False)
        hidden = fully_connected(self._embedded_shape, self.hidden, self.layers, 2 * self.latent)
        return nn.Sequential(embedded, nn.Flatten(), *hidden)

    def decoder_network(self) -> nn.Module:
        decoder = FullyConnectedDecoder(self.latent, self.hidden, self.layers, self._embedded_shape, self.gaussian)
        decoder.main.append(nn.Linear(self.embedding, self.shape[-1]))
        return decoder

    @property
    def _embedded_shape(self) -> tuple[int, ...]:
        return *self.shape[:-1], self.embedding
