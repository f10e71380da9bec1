"""Training samples as they are: no latent space, and no search."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.training_samples import NO_ROW


@dataclass(frozen=True)
class Screening(Searcher):
    """Training samples at random without replacement, scored as they are: the control without any model.

    A problem is over when all were scored. Bernoulli images are drawn from their grey levels, as in training.
    """

    batch: int = 10  # samples scored together
    space = "samples"

    def __post_init__(self):
        at_least(self, 1, "batch", most=10_000)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        assert problem.samples is not None, "a searcher of samples gets training samples"
        yield problem.starts
        seeded = torch.Generator().manual_seed(problem.seed)
        rows = problem.samples.orders(seeded)  # (k, t)
        while rows.shape[1] and (rows[:, 0] != NO_ROW).any():
            taken = self.batch if (rows[:, : self.batch] != NO_ROW).all() else 1  # the last ones singly
            yield problem.samples.points(rows[:, :taken], seeded, problem.starts)
            rows = rows[:, taken:]
