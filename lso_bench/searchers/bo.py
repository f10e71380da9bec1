"""Bayesian optimization: a Gaussian process says where an improvement is to be expected."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.plugins.settings import added, at_least
from lso_bench.search import Problem, Searcher, begin
from lso_bench.search.inversion import agreeing
from lso_bench.search.region import Region
from lso_bench.search.sobol_points import sobol_engine

if TYPE_CHECKING:
    from lso_bench.search.gaussian_process import Surrogates

LEADERS = 5  # best points seen, near which the acquisition is tried too
NEAR = 0.05  # standard deviation of the steps from the best points, of a side of the region
FIT = 5  # most steps of a fit, by `fit_steps`, which older results of `fit_steps=20` have in their key
MARGIN = 0.01  # of a ball's radius, from its sphere: on it a line search does not see what is inside


@dataclass(frozen=True)
class BO(Searcher):
    """BoTorch's Gaussian process and log expected improvement, all problems in one batch (`search.gaussian_process`).

    Begins with the starts and a scrambled Sobol sequence, the same for every problem. A problem whose process cannot be
    fitted or searched gets a Sobol point instead in that step, counted as `fallbacks`. In a ball the first points are
    uniform in distance from the centre, and the acquisition is that of the nearest point inside. The kernels are those
    of `search.kernels`: `rbf`, `matern` (5/2), and `linear` on a sphere (Doumont et al. 2025, arXiv 2512.00170).
    With `inversion` the process sees, in place of a point, the latent of its sample (`search.inversion`).
    """

    initial: int = 20  # evaluations before the first process, the starts among them
    q: int = 1  # points a step; several by qLogEI
    raw: int = 128  # points tried before the acquisition's line searches, half of them near the best seen
    restarts: int = 4  # line searches of the acquisition, from the best of those
    fit_steps: int = 20  # a fifth of the most steps of L-BFGS that fit a process; it ends where it has converged
    polish_steps: int = 40  # most steps of L-BFGS on the acquisition
    kernel: Literal["rbf", "matern", "linear"] = added("rbf")
    inversion: int = added(0)  # gradient steps that invert the decoder after an evaluation; 0: none

    def __post_init__(self):
        at_least(self, 0, "inversion")
        at_least(self, 2, "initial")
        at_least(self, 1, "q", "restarts", most=1000)
        at_least(self, 1, "raw", "fit_steps", "polish_steps")

    def design(self, d: int) -> int:
        return self.initial

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        from lso_bench.search import gaussian_process

        k, _, d = problem.starts.shape
        engine = sobol_engine(d, problem.seed)
        region, even = problem.region, self.raw - self.raw // 2
        z, y = yield from begin(problem, engine, self.initial)
        z = agreeing(problem, z, y, self.inversion)
        seeded = torch.Generator().manual_seed(problem.seed)
        while True:
            u, seen = region.to_cube(z), y.cpu().double()
            new = region.even(engine.draw(self.q).double()).expand(k, -1, -1).clone()
            raw = raw_points(u, seen, self.raw, self.q, engine, seeded)
            raw[:even], raw[even:] = region.even(raw[:even]), region.nearest(raw[even:], MARGIN)
            active = seen.isfinite().all(1).nonzero()[:, 0]
            if len(active):
                with problem.clock("fit"):
                    fitted = gaussian_process.fit(u[active], seen[active], FIT * self.fit_steps, self.kernel)
                indices = active[fitted.fitted]
                if fitted.model is not None:
                    propose = partial(self._best, region, raw[:, indices])
                    good, points = gaussian_process.proposed(fitted.model, propose)
                    indices = indices[good]
                    new[indices] = points
                problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + len(active) - len(indices)
            asked = region.from_cube(new)
            scores = yield asked
            z = torch.cat([z, agreeing(problem, asked, scores, self.inversion)], 1)
            y = torch.cat([y, scores], 1)

    def _best(
        self, region: Region, raw: Float[Tensor, "r a q d"], model: "Surrogates", indices: Int[Tensor, " b"]
    ) -> Float[Tensor, "b q d"]:
        from lso_bench.search.gaussian_process import Inside, log_ei, maximise

        acquisition = Inside(log_ei(model, self.q), region.nearest)
        return region.nearest(maximise(acquisition, raw[:, indices], self.restarts, self.polish_steps))


def raw_points(
    u: Float[Tensor, "k n d"],
    y: Float[Tensor, "k n"],
    count: int,
    q: int,
    engine: SobolEngine,
    seeded: torch.Generator,
) -> Float[Tensor, "r k q d"]:
    """Return points of the unit cube: half of them even, alike for all problems, then steps from each one's best."""
    k, _, d = u.shape
    half = count // 2
    even = engine.draw((count - half) * q).double().view(-1, 1, q, d).expand(-1, k, -1, -1)
    best = y.nan_to_num(-torch.inf).topk(min(LEADERS, y.shape[1]), 1).indices  # (k, 5)
    at = best.gather(1, torch.randint(best.shape[1], (k, half * q), generator=seeded))
    centre = u.gather(1, at[..., None].expand(-1, -1, d)).unflatten(1, (half, q)).transpose(0, 1)  # (half, k, q, d)
    noise = NEAR * torch.randn(half, k, q, d, generator=seeded).double()
    return torch.cat([even, (centre + noise).clamp(0, 1)])
