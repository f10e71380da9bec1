"""Bayesian optimization within a trust region that follows its luck."""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.plugins.settings import added, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.inversion import agreeing
from lso_bench.search.sobol_points import sobol_engine
from lso_bench.searchers.bo import FIT

FIRST, LEAST, MOST = 0.8, 0.5**7, 1.6  # length of a trust region, sides of the search region (the paper, section 3)
SUCCESSES = 3  # in a row before it doubles (the same)
BETTER = 1e-3  # share of the best score's size by which a success is better (the authors' code)


@dataclass(frozen=True)
class TuRBO(Searcher):
    """TuRBO-1 (Eriksson et al. 2019, arXiv 1910.01739, section 3), one trust region a problem, all in one batch.

    Thompson sampling from candidates that move some coordinates of the best point; a region that has shrunk below the
    least length begins anew with Sobol points. The candidates are fewer than the authors' 100 d (at most 5,000), for
    their joint distribution is what costs. The process and its kernels are those of `bo`; the authors' is a Matern
    kernel, `kernel=matern`. Where a process cannot be fitted or drawn from, Sobol points are asked for, and counted as
    `fallbacks`. In a ball these are uniform in distance from its centre, and candidates outside come back towards the
    best point. With `inversion` the process sees, in place of a point, the latent of its sample (`search.inversion`).
    """

    initial: int = 20  # evaluations before the first process, and after a restart
    q: int = 5  # points a step
    candidates: int = 500  # points of a trust region among which the highest of a draw is taken
    fit_steps: int = 20  # a fifth of the most steps of L-BFGS that fit a process; it ends where it has converged
    kernel: Literal["rbf", "matern", "linear"] = added("rbf")
    inversion: int = added(0)  # gradient steps that invert the decoder after an evaluation; 0: none

    def __post_init__(self):
        at_least(self, 0, "inversion")
        at_least(self, 2, "initial")
        at_least(self, 1, "q", most=1000)
        at_least(self, 1, "fit_steps")
        at_least(self, self.q, "candidates")

    def design(self, d: int) -> int:
        return self.initial

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts
        y = yield z
        z = agreeing(problem, z, y, self.inversion)
        k, _, d = z.shape
        engine, seeded = sobol_engine(d, problem.seed), torch.Generator().manual_seed(problem.seed)
        shares = torch.Generator().manual_seed(problem.seed + 1)
        trust = TrustRegions(k, patience=math.ceil(max(4 / self.q, d / self.q)))
        while True:
            u, seen = problem.region.to_cube(z), y.cpu().double()
            asked = problem.region.throughout(engine.draw(self.q).to(z)).expand(k, -1, -1).clone()
            even = engine.draw(self.candidates).double()
            share = torch.rand(self.candidates, 1, generator=shares).double()
            moves = _moves(k, self.candidates, d, seeded)
            noise = torch.randn(k, self.candidates, self.q, generator=seeded).double()
            ready = seen.isfinite().all(1) & (u.shape[1] - trust.since >= self.initial)
            for since in trust.since[ready].unique().tolist():
                indices = (ready & (trust.since == since)).nonzero()[:, 0]
                chance = even, share, moves, noise
                indices, new = self._chosen(problem, trust, indices, u[:, since:], seen[:, since:], chance)
                asked[indices.to(z.device)] = problem.region.from_cube(new)
            scores = yield asked
            z = torch.cat([z, agreeing(problem, asked, scores, self.inversion)], 1)
            y = torch.cat([y, scores], 1)
            trust.follow(y.cpu().double(), self.q, ready)

    def _chosen(
        self,
        problem: Problem,
        trust: "TrustRegions",
        indices: Int[Tensor, " a"],
        u: Float[Tensor, "k n d"],
        y: Float[Tensor, "k n"],
        chance: tuple[Tensor, Tensor, Tensor, Tensor],
    ) -> tuple[Int[Tensor, " b"], Float[Tensor, "b q d"]]:
        """Return the problems of `indices` that can be fitted, and their next points in the unit cube."""
        from lso_bench.search import gaussian_process

        even, share, moves, noise = chance
        with problem.clock("fit"):
            fitted = gaussian_process.fit(u[indices], y[indices], FIT * self.fit_steps, self.kernel)
        asked, indices = len(indices), indices[fitted.fitted]
        problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + asked - len(indices)
        if fitted.model is None:
            return indices, u.new_empty(0, self.q, u.shape[2])
        best = u[indices, y[indices].argmax(1)].unsqueeze(1)  # (b, 1, d)
        low, high = around(best, fitted.model.lengthscales, trust.length[indices])
        candidates = torch.where(moves[indices], low + even * (high - low), best)  # (b, c, d)
        candidates = problem.region.drawn_back(candidates, best, share)
        good, points = gaussian_process.proposed(
            fitted.model,
            lambda model, i: highest(candidates[i], gaussian_process.draws(model, candidates[i], noise[indices][i])),
        )
        problem.counts["fallbacks"] += len(indices) - len(good)
        return indices[good], points


class TrustRegions:
    """Trust regions of k problems, and what decides their size."""

    def __init__(self, k: int, patience: int):
        self.patience: Int[Tensor, " k"] = torch.full((k,), patience)  # failures in a row before a region is halved
        self.length: Float[Tensor, " k"] = torch.full((k,), FIRST, dtype=torch.float64)
        self.successes: Int[Tensor, " k"] = torch.zeros(k, dtype=torch.long)  # in a row
        self.failures: Int[Tensor, " k"] = torch.zeros(k, dtype=torch.long)
        self.since: Int[Tensor, " k"] = torch.zeros(k, dtype=torch.long)  # the first evaluation after the last restart

    def follow(self, y: Float[Tensor, "k n"], q: int, asked: Bool[Tensor, " k"]) -> None:
        """Grow, shrink or begin anew after the last `q` scores of the problems that were `asked` for points."""
        for i in asked.nonzero()[:, 0].tolist():
            before, new = y[i, int(self.since[i]) : -q].max(), y[i, -q:].max()
            better = bool(new > before + BETTER * before.abs())
            self.successes[i] = self.successes[i] + 1 if better else 0
            self.failures[i] = 0 if better else self.failures[i] + 1
            if self.successes[i] == SUCCESSES:
                self.length[i], self.successes[i] = min(2 * float(self.length[i]), MOST), 0
            elif self.failures[i] >= self.patience[i]:
                self.length[i], self.failures[i] = self.length[i] / 2, 0
            if self.length[i] < LEAST:
                self.length[i], self.successes[i], self.failures[i] = FIRST, 0, 0
                self.renew(i, y.shape[1])

    def renew(self, i: int, evaluations: int) -> None:
        """Begin anew in a problem whose region has shrunk away after so many evaluations."""
        self.since[i] = evaluations


def around(
    best: Float[Tensor, "b 1 d"], lengthscales: Float[Tensor, "b d"], length: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b 1 d"], Float[Tensor, "b 1 d"]]:
    """Return the corners of a trust region: longer where the process varies slowly, its volume that of a cube."""
    weights = lengthscales / lengthscales.log().mean(1, keepdim=True).exp()
    half = (weights * length[:, None] / 2).unsqueeze(1)
    return (best - half).clamp(0, 1), (best + half).clamp(0, 1)


def highest(candidates: Float[Tensor, "b c d"], drawn: Float[Tensor, "b c q"]) -> Float[Tensor, "b q d"]:
    """Return for each draw of a posterior its highest candidate, none twice."""
    chosen, free = [], torch.ones(drawn.shape[:2], dtype=torch.bool)
    for j in range(drawn.shape[2]):
        at = drawn[..., j].masked_fill(~free, -torch.inf).argmax(1, keepdim=True)  # (b, 1)
        free.scatter_(1, at, False)
        chosen.append(candidates.gather(1, at[..., None].expand(-1, -1, candidates.shape[2])))
    return torch.cat(chosen, 1)


def _moves(k: int, c: int, d: int, seeded: torch.Generator) -> Bool[Tensor, "k c d"]:
    """Draw which coordinates each candidate moves: 20 of them in the mean, and one at least."""
    moves = torch.rand(k, c, d, generator=seeded) < min(20 / d, 1.0)
    one = torch.randint(d, (k, c, 1), generator=seeded)
    return moves.scatter(2, one, moves.gather(2, one) | ~moves.any(2, keepdim=True))
