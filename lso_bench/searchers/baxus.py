"""Bayesian optimization in random subspaces that grow up to the whole space."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.nested_subspaces import Subspaces
from lso_bench.search.sobol_points import sobol_engine
from lso_bench.searchers.turbo import FIRST, LEAST, TrustRegions, around, highest

MOVED = 20  # coordinates of the best point that a candidate moves, in the mean (TuRBO's authors' code)


@dataclass(frozen=True)
class BAxUS(Searcher):
    """BAxUS (Papenmeier, Nardi & Poloczek 2022, arXiv 2304.11468, section 3), all problems in one batch.

    TuRBO in a subspace through the region's centre, each coordinate of which moves a random set of dimensions, with
    random signs. When the trust region has shrunk away, each coordinate is split into `bins` + 1, and the points seen
    stay. In the whole space it begins anew with Sobol points. Failures are counted as in the authors' code (repository
    LeoIV/BAxUS). The starts are scored, but lie outside the subspace and the process does not see them (inferred: the
    paper has no starts). In a ball the subspace is scaled so that each axis has room. Where a process cannot be fitted
    or drawn from, Sobol points of the subspace are asked for, and counted as `fallbacks`.
    """

    initial: int = 10  # points of the subspace before the first process, and after a restart
    q: int = 1  # points a step
    bins: int = 3  # new coordinates for each one at a split
    budget: int = 300  # evaluations within which the whole space is reached if no step succeeds
    candidates: int = 500  # points of a trust region among which the highest of a draw is taken
    fit_steps: int = 100  # most steps of L-BFGS that fit a process; it ends where it has converged
    kernel: Literal["rbf", "matern", "linear"] = "matern"

    def __post_init__(self):
        at_least(self, 2, "initial")
        at_least(self, 1, "q", "bins", most=1000)
        at_least(self, 1, "budget", "fit_steps")
        at_least(self, self.q, "candidates")

    def design(self, d: int) -> int:
        return self.initial + 1

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts
        y = yield z
        (k, m, d), count = z.shape, self.initial
        engine, chance = sobol_engine(d, problem.seed), torch.Generator().manual_seed(problem.seed)
        trust = GrowingRegions(Subspaces(k, d, self.bins, problem.region, chance), k, m, self)
        while True:
            u, seen = problem.region.to_cube(z), y.cpu().double()
            new = trust.lifted(engine.draw(count).double())
            draws = _draws(engine, (k, self.candidates, d), self.q, chance)
            ready = seen.isfinite().all(1) & (u.shape[1] - trust.since >= self.initial)
            groups = torch.stack([trust.level, trust.since], 1)
            for level, since in groups[ready].unique(dim=0).tolist():
                indices = (ready & (groups == torch.tensor([level, since])).all(1)).nonzero()[:, 0]
                indices, points = self._chosen(problem, trust, level, indices, u[:, since:], seen[:, since:], draws)
                new[indices] = points
            asked = problem.region.from_cube(problem.region.nearest(new))
            z, y = torch.cat([z, asked], 1), torch.cat([y, (yield asked)], 1)
            trust.follow(y.cpu().double(), count, ready)
            count = self.q

    def _chosen(
        self,
        problem: Problem,
        trust: "GrowingRegions",
        level: int,
        indices: Int[Tensor, " a"],
        u: Float[Tensor, "k n d"],
        y: Float[Tensor, "k n"],
        draws: tuple[Tensor, ...],
    ) -> tuple[Int[Tensor, " b"], Float[Tensor, "b q d"]]:
        """Return the problems of `indices` that can be fitted, and their next points in the unit cube."""
        from lso_bench.search import gaussian_process

        spaces, asked = trust.spaces, len(indices)
        x = spaces.lower(u[indices], level, indices)
        with problem.clock("fit"):
            fitted = gaussian_process.fit(x, y[indices], self.fit_steps, self.kernel)
        indices = indices[fitted.fitted]
        good, points = indices[:0], u.new_empty(0, self.q, u.shape[2])
        if fitted.model is not None:
            candidates = trust.candidates(problem, level, indices, fitted.model, y, draws)
            lowered, noise = spaces.lower(candidates, level, indices), draws[-1][indices]
            kept, points = gaussian_process.proposed(
                fitted.model,
                lambda model, i: highest(candidates[i], gaussian_process.draws(model, lowered[i], noise[i])),
            )
            good = indices[kept]
        problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + asked - len(good)
        return good, points


class GrowingRegions(TrustRegions):
    """Trust regions in subspaces: one that has shrunk away goes on in the next level, and in the last begins anew."""

    def __init__(self, spaces: Subspaces, k: int, starts: int, searcher: BAxUS):
        super().__init__(k, 1)
        self.spaces, self.level = spaces, torch.zeros(k, dtype=torch.long)
        self.since[:] = starts
        self._patience = patience(spaces.dimensions, searcher)
        self.patience[:] = self._patience[0]

    def lifted(self, draw: Float[Tensor, "n d"]) -> Float[Tensor, "k n d"]:
        """Return points of each problem's subspace, whose coordinates are the first of the points drawn."""
        points = torch.empty(len(self.level), *draw.shape, dtype=draw.dtype)
        for level in self.level.unique().tolist():
            indices = (self.level == level).nonzero()[:, 0]
            part = draw[:, : self.spaces.dimensions[level]].expand(len(indices), -1, -1)
            points[indices] = self.spaces.lift(part, level, indices)
        return points

    def candidates(
        self,
        problem: Problem,
        level: int,
        indices: Int[Tensor, " b"],
        model,
        y: Float[Tensor, "k n"],
        draws: tuple[Tensor, ...],
    ) -> Float[Tensor, "b c d"]:
        """Return points of the cube in the trust regions of problems of one level."""
        even, share, chance, one, _ = draws
        e = self.spaces.dimensions[level]
        best = model.x.gather(1, y[indices].argmax(1)[:, None, None].expand(-1, 1, e))  # (b, 1, e)
        low, high = around(best, model.lengthscales, self.length[indices])
        moves, first = chance[indices, :, :e] < MOVED / e, (one[indices] * e).long()
        moves = moves.scatter(2, first, moves.gather(2, first) | ~moves.any(2, keepdim=True))
        points = torch.where(moves, low + even[:, :e] * (high - low), best)
        inside = problem.region.nearest(self.spaces.lift(best, level, indices))
        return problem.region.drawn_back(self.spaces.lift(points, level, indices), inside, share)

    def renew(self, i: int, evaluations: int) -> None:
        """Go on in the next level; in the last one, forget the points seen."""
        if self.level[i] + 1 < len(self.spaces.bins):
            self.level[i] += 1
        else:
            self.since[i] = evaluations
        self.patience[i] = self._patience[int(self.level[i])]


def patience(dimensions: list[int], searcher: BAxUS) -> list[int]:
    """Return for each level after how many steps without success a region is halved (the authors' `failtol`).

    Each level is granted a part of the budget in proportion to its dimension, and the halvings up to the least length
    share it. The last level has TuRBO's.
    """
    cuts, first, whole = searcher.bins + 1, dimensions[0], dimensions[-1]
    splits = round(math.log(whole / first, cuts))
    halvings = 2 * math.log(LEAST / FIRST, 0.5)
    share = (searcher.budget - searcher.initial) * searcher.bins / (first * (cuts ** (splits + 1) - 1))
    failures = [max(1, min(math.ceil(share * e / halvings), max(4, e))) for e in dimensions[:-1]]
    return [math.ceil(n / searcher.q) for n in [*failures, max(4, whole)]]


def _draws(engine, shape: tuple[int, int, int], q: int, chance: torch.Generator) -> tuple[Tensor, ...]:
    """Return the random numbers of a step: Sobol points, shares, moves, one move for certain, and of the posteriors."""
    k, c, d = shape
    even, share = engine.draw(c).double(), torch.rand(c, 1, generator=chance).double()
    moves, one = torch.rand(k, c, d, generator=chance), torch.rand(k, c, 1, generator=chance)
    return even, share, moves, one, torch.randn(k, c, q, generator=chance).double()
