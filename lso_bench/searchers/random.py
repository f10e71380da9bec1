"""Independent draws: the plainest of all searches."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class Random(Searcher):
    """Draws from the prior, brought inside the region, or uniform ones of the region (Bergstra & Bengio 2012)."""

    uniform: bool = False  # of the region; if not, the prior
    batch: int = 10  # points scored together

    def __post_init__(self):
        at_least(self, 1, "batch", most=10_000)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        yield problem.starts
        k, _, d = problem.starts.shape
        seeded, like = torch.Generator().manual_seed(problem.seed), problem.starts
        while True:
            if self.uniform:
                yield problem.region.spread(torch.rand(k, self.batch, d, generator=seeded).to(like))
            else:
                yield problem.region.clip(torch.randn(k, self.batch, d, generator=seeded).to(like))
