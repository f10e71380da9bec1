"""The ELBO with a rate that is annealed in cycles."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import Objective, Terms
from lso_bench.vae.objectives.elbo import ELBO


@dataclass(frozen=True)
class Cyclical(Objective):
    """Distortion + w(t) * rate; w grows from 0 to beta, stays there, and starts over, `cycles` times.

    Source: Fu et al. 2019, "Cyclical Annealing Schedule" (arXiv 1903.10145), equations 6 and 7; linear, with the
    paper's 4 cycles, growing in the first half of each.
    """

    beta: float = 1.0
    cycles: int = 4
    share: float = 0.5  # fraction of a cycle in which the weight grows; R in the paper

    def __post_init__(self):
        if self.cycles < 1 or not 0 < self.share <= 1:
            raise ValueError("cycles is 1 or more, share above 0 and at most 1.")

    def __call__(self, vae: VAE, x: Float[Tensor, "b *shape"]) -> Terms:
        return ELBO()(vae, x)

    def rate_weight(self, epoch: float, epochs: int, anneal_epochs: float) -> float:
        fraction = epoch * self.cycles / epochs % 1.0  # of the current cycle
        return self.beta * min(1.0, fraction / self.share)
