"""Bayesian optimization with sparse axes, fully Bayesian: slow, one problem after the other."""

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher, begin
from lso_bench.search.sobol_points import sobol_engine

JITTER = (1e-8, 1e-5)  # added to the diagonal where a decomposition fails, in the first try (GPyTorch's) and the second


@dataclass(frozen=True)
class SAASBO(Searcher):
    """SAASBO (Eriksson & Jankowiak 2021, arXiv 2103.00349) by BoTorch; slow: minutes a step for 50 problems.

    Few dimensions are believed to matter; the processes' settings are drawn by NUTS anew after every evaluation. Needs
    the extra `saasbo`. For a handful of problems and a small budget. A problem whose process cannot be fitted or
    searched, in a second try either, gets a Sobol point in that step, counted as `fallbacks`.
    """

    initial: int = 20  # evaluations before the first process
    warmup: int = 128  # draws of NUTS that are thrown away
    samples: int = 64  # draws of NUTS
    thinning: int = 16  # every so many of which one is used
    raw: int = 128  # points tried before the acquisition's line searches
    restarts: int = 4  # line searches of the acquisition

    def __post_init__(self):
        at_least(self, 2, "initial")
        at_least(self, 1, "restarts", most=1000)
        at_least(self, 1, "warmup", "thinning", "raw")
        at_least(self, self.thinning, "samples")
        if find_spec("numpyro") is None:
            raise UsageError(
                "Searcher 'saasbo' needs NumPyro: pip install 'lso-bench[saasbo]', or choose 'bo' or 'turbo'."
            )

    def design(self, d: int) -> int:
        return self.initial

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        k, _, d = problem.starts.shape
        engine = sobol_engine(d, problem.seed)
        z, y = yield from begin(problem, engine, self.initial)
        while True:
            u, seen = problem.region.to_cube(z), y.cpu().double()
            new = problem.region.even(engine.draw(1).double()).expand(k, -1, -1).clone()
            for i in seen.isfinite().all(1).nonzero()[:, 0].tolist():
                torch.manual_seed(1_000_003 * (problem.seed + 1) + 1009 * u.shape[1] + i)
                if (point := self._proposed(problem, u[i], seen[i])) is not None:
                    new[i] = point
                problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + (point is None)
            asked = problem.region.from_cube(new)
            z, y = torch.cat([z, asked], 1), torch.cat([y, (yield asked)], 1)

    def _proposed(
        self, problem: Problem, u: Float[Tensor, "n d"], y: Float[Tensor, " n"]
    ) -> Float[Tensor, "1 d"] | None:
        """The next point, where need be by other draws of NUTS and with more jitter; None where that fails too."""
        from botorch.exceptions import ModelFittingError
        from gpytorch.settings import cholesky_jitter

        from lso_bench.search.gaussian_process import FAILURES

        for seed, jitter in enumerate(JITTER):
            with suppress(*FAILURES, ModelFittingError), cholesky_jitter(double_value=jitter):
                return self._next(problem, u, y, seed)
        return None

    def _next(
        self, problem: Problem, u: Float[Tensor, "n d"], y: Float[Tensor, " n"], seed: int
    ) -> Float[Tensor, "1 d"]:
        from botorch.acquisition import qLogExpectedImprovement
        from botorch.optim import optimize_acqf

        from lso_bench.search.gaussian_process import Inside, standardised

        scores = standardised(y[None])[0]
        with problem.clock("fit"):
            gp = self._fitted(u, scores, seed)
        cube = torch.stack([torch.zeros_like(u[0]), torch.ones_like(u[0])])
        options: dict[str, Any] = {"q": 1, "num_restarts": self.restarts, "raw_samples": self.raw}
        acquisition = Inside(qLogExpectedImprovement(gp, scores.max()), problem.region.even)
        return problem.region.even(optimize_acqf(acquisition, cube, **options)[0].detach())

    def _fitted(self, u: Float[Tensor, "n d"], scores: Float[Tensor, " n"], seed: int) -> Any:
        """A BoTorch model.

        Raises:
            ModelFittingError: scores so large that they cannot be standardised, or NUTS found nothing to begin from or
                drew settings that no process can have.
        """
        from botorch.exceptions import ModelFittingError
        from botorch.fit import fit_fully_bayesian_model_nuts
        from botorch.models.fully_bayesian import SaasFullyBayesianSingleTaskGP
        from botorch.settings import validate_input_scaling

        draws: dict[str, Any] = {
            "disable_progbar": True,
            "warmup_steps": self.warmup,
            "num_samples": self.samples,
            "thinning": self.thinning,
            "seed": seed,
        }
        if not scores.isfinite().all():
            raise ModelFittingError("The scores are not finite once they are standardised.")
        with validate_input_scaling(False):  # scores that are all the same cannot be standardised
            gp = SaasFullyBayesianSingleTaskGP(u, scores[:, None])
        try:
            fit_fully_bayesian_model_nuts(gp, **draws)
        except (RuntimeError, ValueError) as error:  # NumPyro and GPyTorch have no types of their own for these
            raise ModelFittingError(str(error)) from error
        return gp
