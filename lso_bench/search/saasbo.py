"""Bayesian optimization with sparse axes, fully Bayesian: slow, one problem after the other."""

from collections.abc import Generator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.errors import UsageError
from lso_bench.search import Problem, Searcher, begin


@dataclass(frozen=True)
class SAASBO(Searcher):
    """SAASBO (Eriksson & Jankowiak 2021, arXiv 2103.00349) by BoTorch; slow: minutes a step for 50 problems.

    Few dimensions are believed to matter; the processes' settings are drawn by NUTS anew after every evaluation. Needs
    the extra `saasbo`. For a handful of problems and a small budget.
    """

    initial: int = 20  # evaluations before the first process
    warmup: int = 128  # draws of NUTS that are thrown away
    samples: int = 64  # draws of NUTS
    thinning: int = 16  # every so many of which one is used
    raw: int = 128  # points tried before the acquisition's line searches
    restarts: int = 4  # line searches of the acquisition

    def __post_init__(self):
        if find_spec("numpyro") is None:
            raise UsageError(
                "Searcher 'saasbo' needs NumPyro: pip install 'lso-bench[saasbo]', or choose 'bo' or 'turbo'."
            )

    def design(self, d: int) -> int:
        return self.initial

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        k, _, d = problem.starts.shape
        engine = SobolEngine(d, scramble=True, seed=problem.seed)
        z, y = yield from begin(problem, engine, self.initial)
        while True:
            u, seen = problem.region.to_cube(z), y.cpu().double()
            new = engine.draw(1).double().expand(k, -1, -1).clone()
            for i in seen.isfinite().all(1).nonzero()[:, 0].tolist():
                torch.manual_seed(1_000_003 * (problem.seed + 1) + 1009 * u.shape[1] + i)
                new[i] = self._next(problem, u[i], seen[i])
            asked = problem.region.from_cube(new)
            z, y = torch.cat([z, asked], 1), torch.cat([y, (yield asked)], 1)

    def _next(self, problem: Problem, u: Float[Tensor, "n d"], y: Float[Tensor, " n"]) -> Float[Tensor, "1 d"]:
        from botorch.acquisition import qLogExpectedImprovement
        from botorch.fit import fit_fully_bayesian_model_nuts
        from botorch.models.fully_bayesian import SaasFullyBayesianSingleTaskGP
        from botorch.optim import optimize_acqf

        from lso_bench.surrogate import standardised

        scores = standardised(y[None])[0]
        draws: dict[str, Any] = {
            "disable_progbar": True,
            "warmup_steps": self.warmup,
            "num_samples": self.samples,
            "thinning": self.thinning,
        }
        with problem.clock("fit"):
            gp = SaasFullyBayesianSingleTaskGP(u, scores[:, None])
            fit_fully_bayesian_model_nuts(gp, **draws)
        cube = torch.stack([torch.zeros_like(u[0]), torch.ones_like(u[0])])
        wanted: dict[str, Any] = {"q": 1, "num_restarts": self.restarts, "raw_samples": self.raw}
        return optimize_acqf(qLogExpectedImprovement(gp, scores.max()), cube, **wanted)[0].detach()
