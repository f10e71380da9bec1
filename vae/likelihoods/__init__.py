"""Likelihoods p(x|z) of a decoder's output, one a file.

To add one, save a file here with one subclass of `Likelihood`, a frozen dataclass:

- `distribution(output, decoder)` turns the decoder's output into p(x|z), a distribution of whole samples;
- `mean(output)` gives its mean alone, with a gradient;
- `draw(p, noise)` draws from it, given uniform noise; `straight_through` is the draw with a gradient;
- `model_input(stored, generator)` shows stored samples to a model; `stored_shape` is their shape, if it is another;
- the file's name is the likelihood's name, which data sets use.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.plugins.registry import Registry


class Likelihood(ABC):
    """Density of samples given the output of a decoder; elements of one kind."""

    binary: ClassVar[bool] = False  # whether a model sees binary samples alone
    bounded: bool = True  # whether samples lie in [0, 1], as those of images do

    @property
    def levels(self) -> int:
        """Return how many values a stored byte may have, from 0."""
        return 256

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a stored sample, of which `model_input` makes one of `shape` (default: the same)."""
        return shape

    @abstractmethod
    def distribution(self, output: Float[Tensor, "b *shape"], decoder: nn.Module) -> Distribution:
        """Return p(x|z): batch (b,), event the shape of a sample; `decoder` may hold further parameters."""

    @abstractmethod
    def mean(self, output: Float[Tensor, "b *shape"]) -> Float[Tensor, "b *shape"]:
        """Return the mean of p(x|z)."""

    @abstractmethod
    def draw(self, p: Distribution, noise: Float[Tensor, "#b *shape"]) -> Float[Tensor, "b *shape"]:
        """Draw from p(x|z); `noise` is uniform in [0, 1), and 0.5 gives the likeliest or middle value."""

    def straight_through(self, p: Distribution, noise: Float[Tensor, "#b *shape"]) -> Float[Tensor, "b *shape"]:
        """Draw from p(x|z) with a gradient: that of the mean, as if the draw were the mean (default).

        Source: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons", section 4.
        """
        mean = p.mean
        return self.draw(p, noise).detach() + (mean - mean.detach())

    def likeliest(self, mean: Float[Tensor, "b *shape"]) -> Bool[Tensor, "b *shape"]:
        """Return the likeliest binary sample of a mean in [0, 1]."""
        return mean > 0.5

    @abstractmethod
    def model_input(
        self, stored: Shaped[Tensor, "n *stored"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *shape"]:
        """Return stored samples as a model takes them."""


LIKELIHOODS = Registry("likelihood", Likelihood, __name__, "lso_bench.likelihoods")
