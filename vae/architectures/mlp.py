"""Fully connected networks."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from lso_bench.vae.architectures import Architecture
from lso_bench.vae.networks import FullyConnectedDecoder, fully_connected


@dataclass(frozen=True)
class MLP(Architecture):
    """One hidden layer in the encoder and one in the decoder, for samples of any shape.

    It is the VAE of tutorials, a control that everybody knows. Source of the sizes: the VAE among PyTorch's examples.
    """

    likelihoods: ClassVar = ("bernoulli", "gaussian", "categorical")
    images_only: ClassVar = False
    hidden: int = 400  # units of each hidden layer
    layers: int = 1  # hidden layers of each network

    def __post_init__(self):
        super().__post_init__()
        if not all(type(n) is int and 0 < n <= 4096 for n in (self.hidden, self.layers)):
            raise ValueError("Sizes of an architecture are whole numbers from 1 to 4096.")

    def encoder_network(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), *fully_connected(self.shape, self.hidden, self.layers, 2 * self.latent))

    def decoder_network(self) -> nn.Module:
        return FullyConnectedDecoder(self.latent, self.hidden, self.layers, self.shape, self.gaussian)
