"""Genetic algorithm on latents: selection, crossover and mutation without a surrogate."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class LatentGA(Searcher):
    """Population of latents with tournaments of two, blend crossover and normal mutation, one population a problem.

    The first generation has the starts, and draws from N(0, I) brought inside the region. Each coordinate of a child is
    uniform on the interval of its parents' values, widened by the share `blend` at either end (BLX-alpha: Eshelman &
    Schaffer 1993, section 4). The best `population` of parents and children survive. Survival, tournaments and
    mutation are the common choices and no one paper's (inferred): the published latent baselines say only "GA".
    """

    population: int = 20  # survivors of a generation, and its children
    blend: float = 0.5  # alpha of the crossover
    sigma: float = 0.2  # standard deviation of a mutation
    rate: float = 0.2  # share of the coordinates that mutate

    def __post_init__(self):
        at_least(self, 2, "population", most=10_000)
        at_least(self, 0, "blend", most=10)
        above(self, 0, "sigma")
        at_least(self, 0, "rate", most=1)

    def design(self, d: int) -> int:
        return self.population

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z, chance = problem.starts, torch.Generator().manual_seed(problem.seed)
        y = yield z
        k, m, d = z.shape
        if m < self.population:
            drawn = torch.randn(k, self.population - m, d, generator=chance).to(z)
            new = problem.region.clip(drawn)
            z, y = torch.cat([z, new], 1), torch.cat([y, (yield new)], 1)
        while True:
            z, y = self._survivors(z, y)
            new = problem.region.clip(self._children(z, y, chance))
            z, y = torch.cat([z, new], 1), torch.cat([y, (yield new)], 1)

    def _survivors(
        self, z: Float[Tensor, "k n d"], y: Float[Tensor, "k n"]
    ) -> tuple[Float[Tensor, "k p d"], Float[Tensor, "k p"]]:
        best = y.nan_to_num(-torch.inf).topk(self.population, 1).indices
        return _rows(z, best), y.gather(1, best)

    def _children(
        self, z: Float[Tensor, "k p d"], y: Float[Tensor, "k p"], chance: torch.Generator
    ) -> Float[Tensor, "k p d"]:
        shape = z.shape
        first, second = (_rows(z, _winners(y, chance)) for _ in range(2))
        share = torch.rand(shape, generator=chance).to(z) * (1 + 2 * self.blend) - self.blend
        mutates = (torch.rand(shape, generator=chance) < self.rate).to(z)
        return first + share * (second - first) + mutates * self.sigma * torch.randn(shape, generator=chance).to(z)


def _winners(y: Float[Tensor, "k p"], chance: torch.Generator) -> Tensor:
    """Return the indices of the winners of p tournaments of two, drawn with replacement: (k, p)."""
    pairs = torch.randint(y.shape[1], (2, *y.shape), generator=chance).to(y.device)
    first, second = (y.gather(1, at) for at in pairs)
    return torch.where(first >= second, *pairs)


def _rows(z: Float[Tensor, "k n d"], indices: Tensor) -> Float[Tensor, "k p d"]:
    return z.gather(1, indices[..., None].expand(-1, -1, z.shape[2]))
