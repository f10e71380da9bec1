"""Evolution of a normal distribution towards better points."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import above, added, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.inversion import agreeing
from lso_bench.search.score_unit import units

SMALLEST = 2.0**-10  # spread of a problem's first generation from which on its scores are passed on as they are
RESAMPLINGS, EASY = (
    100,
    64,
)  # draws of a point that lies outside the bounds (the package's default), up to so many dimensions
MIX = 2_654_435_761  # 2^32 / golden ratio (Knuth 1998, section 6.4): keeps the restarts' seeds far apart


@dataclass(frozen=True)
class CMAES(Searcher):
    """Covariance matrix adaptation (Hansen & Ostermeier 2001) by the package `cmaes`, one strategy a problem.

    It begins around the best start. Where the package says that a strategy has come to rest, it begins again there
    with the first step size and draws of its own. One of its signs is a spread of scores below 1e-12, so scores in a
    small unit are brought to an ordinary one (`lso_bench.search.score_unit`).

    A point outside the bounds is drawn again, and clipped in the end. The package takes d^3 operations a draw, and in
    many dimensions nearly every draw lies outside, so from 64 dimensions on there are fewer draws.

    With `inversion` a strategy gets, in place of a point that it asked for, the latent of the point's sample
    (`search.inversion`). Such injected points are drawn towards the mean where they are further away than a strategy's
    draws are (Hansen 2011, "Injecting external solutions into CMA-ES", arXiv 1110.4181).
    """

    sigma: float = 0.5  # first step size, prior standard deviations
    population: int = 0  # points a generation; 0: 4 + 3 ln d, rounded down (Hansen 2016, table 1)
    inversion: int = added(0)  # gradient steps that invert the decoder after an evaluation; 0: none

    def __post_init__(self):
        above(self, 0, "sigma")
        at_least(self, 0, "inversion")
        if self.population != 0 and self.population < 4:
            raise ValueError(f"population: wanted 0 or at least 4, got {self.population}")

    def design(self, d: int) -> int:
        return self._population(d)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts
        y = yield z
        z = agreeing(problem, z, y, self.inversion)
        k, _, d = z.shape
        best = z.gather(1, y.nan_to_num(-torch.inf).argmax(1)[:, None, None].expand(-1, -1, d))[:, 0].double().cpu()
        restarts, unit = [0] * k, np.zeros(k)  # 0: not known yet
        strategies = [self._strategy(problem, best[i].numpy(), i, 0) for i in range(k)]
        while True:
            asked = np.stack([[s.ask() for _ in range(s.population_size)] for s in strategies])  # (k, n, d)
            points = problem.region.clip(torch.from_numpy(asked).to(z))
            scores = yield points
            inverted = agreeing(problem, points, scores, self.inversion)
            differs, outside = (inverted != points).any(-1).cpu().numpy(), inverted.double().cpu().numpy()
            y = scores.double().cpu().numpy()
            unit = np.where(unit > 0, unit, _units(y))
            for i in (i for i in range(k) if np.isfinite(y[i]).all()):
                asked[i, differs[i]] = injected(strategies[i], outside[i, differs[i]])
                strategies[i].tell([(z, -s / (unit[i] or 1)) for z, s in zip(asked[i], y[i], strict=True)])
                if strategies[i].should_stop():
                    restarts[i] += 1
                    strategies[i] = self._strategy(problem, strategies[i].mean, i, restarts[i])

    def _population(self, d: int) -> int:
        return self.population or 4 + int(3 * np.log(d))

    def _strategy(self, problem: Problem, mean: np.ndarray, i: int, restart: int):
        from cmaes import CMA

        low, high = problem.region.bounds
        bounds = torch.stack([low, high], 1).double().cpu().numpy()
        inside = mean.clip(bounds[:, 0], bounds[:, 1])  # a strategy's mean may lie beyond them by a rounding error
        seed = 1_000_003 * (problem.seed + 1) + i + MIX * restart  # problems and restarts draw differently
        size, again = self._population(len(mean)), resamplings(len(mean))
        return CMA(inside, self.sigma, bounds, again, seed=seed % 2**32, population_size=size)


def injected(strategy: Any, points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return points of others, no further from the mean of a strategy than sqrt(d) + 2 d / (d + 2) deviations.

    Source: Hansen 2011 (arXiv 1110.4181), with the default of its c_y. The package has no such method.
    """
    (axes, lengths), d = strategy._eigen_decomposition(), points.shape[1]
    offset = points - strategy.mean
    deviations = np.linalg.norm(offset @ axes / (strategy._sigma * lengths), axis=1, keepdims=True)
    return strategy.mean + offset * np.minimum(1, (np.sqrt(d) + 2 * d / (d + 2)) / np.maximum(deviations, 1e-30))


def resamplings(d: int) -> int:
    """Return how often a point of d dimensions is drawn again: the work of a point stays that of `EASY` dimensions."""
    return RESAMPLINGS if d <= EASY else max(1, int(RESAMPLINGS * (EASY / d) ** 3))


def _units(y: Float[np.ndarray, "k n"]) -> Float[np.ndarray, " k"]:
    """Return the units of the scores of a generation; 0 where they are all the same."""
    with np.errstate(invalid="ignore"):
        spread = torch.from_numpy(y.max(1) - y.min(1))
    return torch.where(spread > 0, units(spread, SMALLEST), 0).numpy()
