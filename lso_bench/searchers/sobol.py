"""Quasi-random points that fill the region evenly."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.sobol_points import sobol_engine


@dataclass(frozen=True)
class Sobol(Searcher):
    """A scrambled Sobol sequence (Sobol' 1967; Owen 1998), the same points for every problem but for the starts.

    Spread over the region; in many dimensions most of a box lies far outside the prior's shell, so `prior` gives the
    same sequence the prior's shape.
    """

    prior: bool = False  # points spread as the prior, brought inside the region
    batch: int = 10  # points scored together

    def __post_init__(self):
        at_least(self, 1, "batch", most=10_000)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        yield problem.starts
        k, _, d = problem.starts.shape
        engine = sobol_engine(d, problem.seed)
        while True:
            u = engine.draw(self.batch).clamp(1e-6, 1 - 1e-6).to(problem.starts)
            z = problem.region.clip(torch.special.ndtri(u)) if self.prior else problem.region.spread(u)
            yield z.expand(k, -1, -1)
