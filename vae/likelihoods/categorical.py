"""Sequences of tokens, which end with the first end token."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import one_hot

from lso_bench.plugins.settings import at_least
from lso_bench.vae.likelihoods import Likelihood

END = 0  # token that ends a sequence, and fills the places after its end
LEAST = 2.0**-24  # smallest noise: torch.rand may return 0, whose logarithm is infinite


@dataclass(frozen=True)
class Categorical(Likelihood):
    """Tokens of a vocabulary, whose logits the decoder gives at every position; all after the first end are ends.

    Tokens are stored as bytes (n, t). A model gets them one-hot (n, t, v), and decodes probabilities (n, t, v).
    """

    vocabulary: int = 256  # number of tokens, v, the end token among them

    def __post_init__(self):
        at_least(self, 2, "vocabulary", most=256)

    @property
    def levels(self) -> int:
        return self.vocabulary

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:-1]

    def distribution(self, output: Float[Tensor, "b t v"], decoder: nn.Module) -> "Sequences":
        return Sequences(output)

    def mean(self, output: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        return Sequences(output).mean

    def draw(self, p: Distribution, noise: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        """Return the token of the highest log-probability plus Gumbel noise, -log(-log(noise)), at each position.

        Source: Maddison et al. 2014, "A* Sampling", section 2. Equal noise gives the likeliest token.
        """
        assert isinstance(p, Sequences)
        gumbel = -(-noise.clamp(min=LEAST).log()).log()
        return padded(one_hot((p.log_probabilities + gumbel).argmax(-1), self.vocabulary).to(noise.dtype))

    def model_input(
        self, stored: Shaped[Tensor, "n t"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n t v"]:
        return one_hot(stored.long(), self.vocabulary).float()


class Sequences(Distribution):
    """Distribution of one-hot sequences (t, v): independent tokens up to the first end, then ends alone."""

    arg_constraints = {}

    def __init__(self, logits: Float[Tensor, "b t v"]):
        self.log_probabilities = logits.log_softmax(-1)
        super().__init__(logits.shape[:1], logits.shape[1:], validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "b t v"]:
        """Return the probability of each token at each position."""
        return padded(self.log_probabilities.exp())

    def log_prob(self, value: Float[Tensor, "b t v"]) -> Float[Tensor, " c"]:
        """Return the sum over tokens up to and with the first end, in nats; of probabilities, its expectation."""
        tokens = (value * self.log_probabilities).sum(-1)  # (b, t)
        return (tokens * not_ended(value)).sum(-1)


def not_ended(x: Float[Tensor, "b t v"]) -> Float[Tensor, "b t"]:
    """Return the probability that a sequence of independent tokens has no end before each position."""
    before = 1 - x[:, :-1, END]
    return torch.cat([torch.ones_like(x[:, :1, END]), before.cumprod(-1)], -1)


def padded(x: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
    """Return probabilities of tokens with ends alone after the first end."""
    alive = not_ended(x)[..., None]
    ends = torch.zeros_like(x[:1, :1])
    ends[..., END] = 1
    return alive * x + (1 - alive) * ends
