"""A Gaussian process of samples says which latents the prior is to be conditioned on: COWBOYS."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.prior_draws import draws_inside
from lso_bench.search.sample_kernels import SampleKernelName, build, check_data

if TYPE_CHECKING:
    from lso_bench.search.sample_evidence import Evidence

ACCEPTED = 0.25  # share of steps that an adapted step size is to have accepted (inferred)
SMALLEST = 0.01  # step size


@dataclass(frozen=True)
class COWBOYS(Searcher):
    """A Gaussian process of decoded samples, and draws of latents given that it exceeds the best score.

    Source: Moss, Ober & Diethe 2025, "Return of the Latent Space COWBOYS", arXiv 2507.03910. The law of a proposal is
    p(z | f(x(z)) > best) ~ P(f(x(z)) > best) N(z; 0, I): preconditioned Crank-Nicolson chains draw from it. Only its
    abstract and public notes on it were read. So what follows is inferred: the best score as the level, the chains'
    beginning, their number and length, the adaptation of the step size, and all priors of the process.

    The kernel is of samples: `search.sample_kernels`. The first points are the starts and draws of the prior. Every
    chain begins at one of the best distinct samples. The last states with samples not yet seen are proposed. Steps that
    leave the region are rejected, so that the prior is the one restricted to it. Where there are too few such states,
    or scores are all the same, points are draws of the prior, each counted in `fallbacks`.
    """

    initial: int = 20  # evaluations before the first process, the starts among them
    q: int = 10  # points a step
    chains: int = 10  # chains of a problem
    steps: int = 50  # steps of a chain, each of which decodes a point
    beta: float = 0.3  # first step size of pCN, from 0 to 1; 1 draws from the prior
    adapt: bool = True  # whether the step size is adapted between the steps of the search
    kernel: SampleKernelName = "auto"
    bounded = False

    def __post_init__(self):
        at_least(self, 2, "initial")
        at_least(self, 1, "q", "chains", most=1000)
        at_least(self, 1, "steps")
        above(self, 0, "beta", most=1)

    def design(self, d: int) -> int:
        return self.initial

    def check_data(self, data: str) -> None:
        check_data(self.kernel, data)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        from lso_bench.search.sample_evidence import Decoder, Evidence

        if problem.space is None:
            raise UsageError("Searcher 'cowboys' looks at decoded samples, and this score has no model; choose bo.")
        decoder = Decoder(problem.space, build(self.kernel, problem.space, problem.data), problem.clock)
        chance = torch.Generator().manual_seed(problem.seed)
        z, y = problem.starts, (yield problem.starts)
        if self.initial > z.shape[1]:
            drawn = self._drawn(problem, self.initial - z.shape[1], chance)
            z, y = torch.cat([z, drawn], 1), torch.cat([y, (yield drawn)], 1)
        seen, beta = Evidence(decoder, z, y), torch.full((len(z),), self.beta, dtype=torch.float64)
        while True:
            new = self._drawn(problem, self.q, chance)
            missing = self.q * len(seen.active)
            for i, points in self._proposals(problem, seen, beta, chance):
                new[i, : len(points)] = problem.region.clip(points.to(new))
                missing -= len(points)
            problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + missing
            seen.add(new, (yield new))

    def _drawn(self, problem: Problem, n: int, chance: torch.Generator) -> Float[Tensor, "k n d"]:
        """Return n draws of the prior for each problem."""
        k, _, d = problem.starts.shape
        return problem.region.clip(draws_inside(problem.region, k, n, d, chance).to(problem.starts))

    def _proposals(
        self, problem: Problem, seen: "Evidence", beta: Float[Tensor, " k"], chance: torch.Generator
    ) -> list[tuple[int, Float[Tensor, "m d"]]]:
        """Return problems with at most q points for each, and adapt their step sizes in `beta`."""
        from lso_bench.search.kernel_matrix_process import fit
        from lso_bench.search.sample_walks import Walks

        k, _, d = problem.starts.shape
        normal = torch.randn(self.steps, k, self.chains, d, generator=chance, dtype=torch.float64)
        uniform = torch.rand(self.steps, k, self.chains, generator=chance, dtype=torch.float64)
        order = torch.rand(k, self.chains, generator=chance).argsort(1)
        if not len(informative := seen.informative):
            return []
        with problem.clock("fit"):
            process, fitted = fit(seen.gram[informative], seen.standardised[informative])
        if process is None:
            return []
        members = informative[fitted]
        walks = Walks(seen, process, members, problem.region, self.chains)
        for step in range(self.steps):
            walks.step(beta[members], normal[step, members], uniform[step, members])
        if self.adapt:
            beta[members] = (beta[members] * (walks.acceptance - ACCEPTED).exp()).clamp(SMALLEST, 1)
        return list(zip(members.tolist(), walks.proposals(self.q, order[members]), strict=True))
