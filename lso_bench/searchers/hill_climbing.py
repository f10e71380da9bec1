"""Small random steps from the best point so far."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class HillClimbing(Searcher):
    """A (1 + 1) evolution strategy with the one-fifth success rule (Rechenberg 1973; Kern et al. 2004, section 3.1).

    A step that succeeds multiplies the step size by `growth`, one that fails by its fourth root's inverse, so that it
    stands still where one step in five succeeds.
    """

    sigma: float = 0.5  # first step size, prior standard deviations
    growth: float = 1.4  # of the step size after a success

    def __post_init__(self):
        above(self, 0, "sigma")
        at_least(self, 1, "growth", most=100)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z, seeded = problem.starts, torch.Generator().manual_seed(problem.seed)
        y = yield z
        k, _, d = z.shape
        best, at = y.max(1, keepdim=True)  # (k, 1) each
        stands = z.gather(1, at[..., None].expand(-1, -1, d))  # (k, 1, d)
        sigma = torch.full_like(best, self.sigma)
        while True:
            step = sigma[..., None] * torch.randn(k, 1, d, generator=seeded).to(z)
            tried = problem.region.clip(stands + step)
            y = yield tried
            better = y > best
            best, stands = torch.where(better, y, best), torch.where(better[..., None], tried, stands)
            sigma = sigma * torch.where(better, self.growth, self.growth**-0.25)
