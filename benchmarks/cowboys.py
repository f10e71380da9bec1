"""COWBOYS of many problems: one batch, against a loop over problems and chains on a process of GPyTorch.

    python benchmarks/cowboys.py [--problems 50] [--points 30] [--loop 2] [--threads 1]
    python benchmarks/cowboys.py --search [--problems 6] [--evaluations 100]
    python benchmarks/cowboys.py --points 500 --loop 0

Texts of the shipped `beta_vae_0.1` of expressions (`--data ehrlich`: of an Ehrlich function), by the MinMax kernel of
their k-mers. A step fits the processes and makes the proposals: ours, and for one problem after the other, as a user
would write it. That is a `SingleTaskGP` with the same kernel, `fit_gpytorch_mll`, and one chain after the other, which
decodes one text a step. Both have the settings of the searcher; the loop keeps the step size. Prints processor seconds
a problem and the memory at its highest.
With `--search` whole searches of both instead, from the same first points: best scores and processor seconds.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import math
import resource
import time
from collections.abc import Callable
from typing import Any

import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.kernels import Kernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

import lso_bench as lb
from lso_bench.search import Problem
from lso_bench.search.clock import Clock
from lso_bench.search.gaussian_process import standardised
from lso_bench.search.region import Region
from lso_bench.search.sample_evidence import Decoder, Evidence
from lso_bench.search.sample_kernels import build
from lso_bench.search.space import Space
from lso_bench.searchers.cowboys import COWBOYS
from lso_bench.task import TASKS
from lso_bench.vae.data import load

TASK_OF = {"expressions": "expression", "ehrlich": "ehrlich"}
Score = Callable[[Tensor], Tensor]  # latents (k, n, d) to scores (k, n)


class MinMaxKernel(Kernel):
    """MinMax kernel of counts, pair by pair as its formula has it."""

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **params) -> Tensor:
        """Compute the matrix of values; its diagonal if `diag`."""
        if diag:
            return torch.ones_like(x1[..., 0])
        least = torch.stack([torch.minimum(row[None], x2).sum(-1) for row in x1])
        most = torch.stack([torch.maximum(row[None], x2).sum(-1) for row in x1])
        return torch.where(most > 0, least / most.clamp_min(1), 1.0)


def proposed_alone(decoder: Decoder, z: Tensor, y: Tensor, searcher: COWBOYS) -> Tensor:
    """Return the next points (q, d) of one problem: chains one after the other, from its best points."""
    none = torch.tensor([0])
    x = decoder.features(z[None], none)[0].double()
    scores = standardised(y[None])[0]
    covariance: Any = ScaleKernel(MinMaxKernel())
    gp = SingleTaskGP(x, scores[:, None], covar_module=covariance, outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    gp.eval()

    @torch.no_grad()
    def log_likelihood(at: Tensor) -> float:
        posterior = gp.posterior(decoder.features(at[None, None], none)[0].double())
        sd = posterior.variance.clamp_min(1e-12).sqrt()
        return float(torch.special.log_ndtr((posterior.mean - scores.max()) / sd))

    seen, ends, beta = {row.numpy().tobytes() for row in x}, list[Tensor](), searcher.beta
    for start in z[scores.topk(searcher.chains).indices]:
        at, value = start, log_likelihood(start)
        for _ in range(searcher.steps):
            new = math.sqrt(1 - beta**2) * at + beta * torch.randn_like(at)
            if math.log(torch.rand(()).item()) < (after := log_likelihood(new)) - value:
                at, value = new, after
        if (text := decoder.features(at[None, None], none)[0, 0].double().numpy().tobytes()) not in seen:
            seen.add(text)
            ends.append(at)
    spare = [torch.randn_like(z[0]) for _ in range(searcher.q - len(ends))]
    return torch.stack([*ends, *spare])[: searcher.q]


def started(space: Space, name: str, k: int, n: int, score: Score) -> tuple[Decoder, Tensor, Tensor]:
    """Return a decoder, and n draws of the prior for each problem with their scores."""
    z = torch.randn(k, n, space.latent, generator=torch.Generator().manual_seed(0))
    return Decoder(space, build("auto", space, name), Clock()), z, score(z)


def step(space: Space, name: str, score: Score, k: int, n: int, loop: int) -> None:
    """Time one step of each way."""
    decoder, z, y = started(space, name, k, n, score)
    problem = Problem(z[:, :1], Region(), space=space, data=name)
    searcher = COWBOYS()
    seen, beta = Evidence(decoder, z, y), torch.full((k,), searcher.beta, dtype=torch.float64)
    began = time.process_time()
    searcher._proposals(problem, seen, beta, torch.Generator().manual_seed(0))  # pyright: ignore[reportPrivateUsage]
    ours = (time.process_time() - began) / k
    print(f"{k} problems, {n} points, d = {space.latent}: {ours:.3f} CPU s a problem and step")
    if loop:
        began = time.process_time()
        for i in range(loop):
            proposed_alone(decoder, z[i], y[i].double(), searcher)
        theirs = (time.process_time() - began) / loop
        print(f"loop over {loop} problems: {theirs:.3f} CPU s, {theirs / ours:.1f} x")
    print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def searched(problem: Problem, score: Score, evaluations: int) -> tuple[Tensor, Tensor]:
    """Return points and scores of a search of all problems at once."""
    search = COWBOYS().search(problem)
    z = [next(search)]
    y = [score(z[0])]
    while sum(part.shape[1] for part in z) < evaluations:
        z.append(search.send(y[-1]))
        y.append(score(z[-1]))
    return torch.cat(z, 1)[:, :evaluations], torch.cat(y, 1)[:, :evaluations]


def searches(space: Space, name: str, score: Score, k: int, evaluations: int) -> None:
    """Compare whole searches, from the same first points."""
    starts = torch.randn(k, 1, space.latent, generator=torch.Generator().manual_seed(0))
    began = time.process_time()
    z, y = searched(Problem(starts, Region(), space=space, data=name), score, evaluations)
    ours, began = time.process_time() - began, time.process_time()
    best = []
    decoder, searcher = Decoder(space, build("auto", space, name), Clock()), COWBOYS()
    for i in range(k):
        at, scores = z[i, : searcher.initial], y[i, : searcher.initial]
        while len(at) < evaluations:
            new = proposed_alone(decoder, at, scores.double(), searcher)
            at, scores = torch.cat([at, new]), torch.cat([scores, score(new[None])[0]])
        best.append(scores[:evaluations].max())
    theirs, loop, ours_best = time.process_time() - began, torch.stack(best), y.amax(1)
    for label, values, seconds in (("ours", ours_best, ours), ("loop", loop, theirs)):
        q = torch.quantile(values.double(), torch.tensor([0.25, 0.5, 0.75]).double()).tolist()
        print(f"{label} median best {q[1]:.3f}, quartiles {q[0]:.3f} .. {q[2]:.3f}; {seconds:.1f} CPU s")
    better, worse = int((ours_best > loop).sum()), int((ours_best < loop).sum())
    print(f"ours is the better in {better}, the worse in {worse} of {k}, and {theirs / ours:.1f} times as fast")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--loop", type=int, default=2)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--data", choices=TASK_OF, default="expressions")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    space, task = lb.space("beta_vae_0.1", args.data, "gru"), TASKS.build(TASK_OF[args.data])
    task = task.bind(load(args.data).test)

    def score(z: Tensor) -> Tensor:
        with torch.no_grad():
            return task.score(space.decode(z))

    if args.search:
        searches(space, args.data, score, args.problems, args.evaluations)
    else:
        step(space, args.data, score, args.problems, args.points, args.loop)


if __name__ == "__main__":
    main()
