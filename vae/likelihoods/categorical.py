"""Sequences of tokens, which end with the first end token."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import one_hot, pad

from lso_bench.plugins.settings import at_least
from lso_bench.vae.likelihoods import Likelihood

END = 0  # token that ends a sequence, and fills the places after its end
LEAST = 2.0**-24  # smallest noise: torch.rand may return 0, whose logarithm is infinite


@dataclass(frozen=True)
class Categorical(Likelihood):
    """Tokens of a vocabulary, whose logits the decoder gives at every position; all after the first end are ends.

    Tokens are stored as bytes (n, t). A model gets them one-hot (n, t, v), and decodes probabilities (n, t, v).
    """

    binary = True
    vocabulary: int = 256  # number of tokens, v, the end token among them

    def __post_init__(self):
        at_least(self, 2, "vocabulary", most=256)

    @property
    def levels(self) -> int:
        return self.vocabulary

    def stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:-1]

    def distribution(self, output: Float[Tensor, "b t v"], decoder: nn.Module) -> "Sequences":
        return Sequences(output, given_teacher=getattr(decoder, "given_teacher", False))

    def mean(self, output: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        return Sequences(output).mean

    def draw(self, p: Distribution, noise: Float[Tensor, "#b t v"]) -> Float[Tensor, "b t v"]:
        """Return the token of the highest log-probability plus Gumbel noise at each position.

        Source: Maddison et al. 2014, "A* Sampling", section 2. Equal noise gives the likeliest token.
        """
        return padded(self._tokens(p, noise))

    def straight_through(self, p: Distribution, noise: Float[Tensor, "#b t v"]) -> Float[Tensor, "b t v"]:
        """Draw sequences; the gradient of a drawn token is that of the token's probabilities.

        Tokens after the first drawn end have no gradient.
        """
        assert isinstance(p, Sequences)
        chances = p.log_probabilities.exp()
        return padded(self._tokens(p, noise) + (chances - chances.detach()))

    def _tokens(self, p: Distribution, noise: Float[Tensor, "#b t v"]) -> Float[Tensor, "b t v"]:
        assert isinstance(p, Sequences)
        return one_hot((p.log_probabilities + gumbel(noise)).argmax(-1), self.vocabulary).to(noise.dtype)

    def likeliest(self, mean: Float[Tensor, "b t v"]) -> Bool[Tensor, "b t v"]:
        return padded(one_hot(mean.argmax(-1), self.vocabulary).float()) > 0

    def model_input(
        self, stored: Shaped[Tensor, "n t"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "n t v"]:
        return padded(one_hot(stored.long(), self.vocabulary).float())


class Sequences(Distribution):
    """Distribution of one-hot sequences (t, v): tokens up to the first end, then ends alone.

    Tokens are independent, or, `given_teacher`, each is given those of a teacher before it. Logits after the teacher's
    end are then those of ends.
    """

    def __init__(self, logits: Float[Tensor, "b t v"], given_teacher: bool = False):
        self.log_probabilities = logits.log_softmax(-1)
        self.given_teacher = given_teacher
        super().__init__(logits.shape[:1], logits.shape[1:], validate_args=False)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        return {}

    @property
    def mean(self) -> Float[Tensor, "b t v"]:
        """Return the probability of each token at each position."""
        chances = self.log_probabilities.exp()
        return chances if self.given_teacher else padded(chances)

    def log_prob(self, value: Float[Tensor, "b t v"]) -> Float[Tensor, " c"]:
        """Return the sum over tokens up to and with the first end, in nats; of a mean of sequences, the mean of it."""
        counted = torch.cat([first_ends(value)[..., None], value[..., 1:]], -1)  # END is the first token
        return (counted * self.log_probabilities).sum((-2, -1))


def gumbel(noise: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return standard Gumbel noise, -log(-log(u)), of uniform noise u."""
    return -(-noise.clamp(min=LEAST).log()).log()


def first_ends(x: Float[Tensor, "b t v"]) -> Float[Tensor, "b t"]:
    """Return the probability that a sequence first ends at each position; after an end are ends alone."""
    ended = x[..., END]
    return ended - pad(ended[:, :-1], (1, 0))


def padded(chances: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
    """Return the probabilities of independent tokens up to the first end, and of ends alone after it."""
    alive = pad((1 - chances[:, :-1, END]).cumprod(-1), (1, 0), value=1.0)[..., None]  # (b, t, 1)
    return torch.cat([1 - alive * (1 - chances[..., :1]), alive * chances[..., 1:]], -1)
