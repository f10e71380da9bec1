"""One step of Bayesian optimization on 50 problems: one batch, against a loop over BoTorch's own functions.

    python benchmarks/bo.py [--problems 50] [--points 30] [--steps 3] [--threads 2] [--loop 5]
    python benchmarks/bo.py --regret [--problems 8] [--evaluations 60]
    python benchmarks/bo.py --points 500 --loop 0 --steps 1 --fit-steps 2

A step fits the processes and maximises log expected improvement: (a) ours from nothing, as the first of a search,
(b) ours from where the last step's fit ended, as all others, (c) `SingleTaskGP`, `fit_gpytorch_mll` and `optimize_acqf`
with as many raw points and restarts, problem after problem, on `--loop` of the problems. Of TuRBO the same, with points
drawn from as many candidates: (c) is `fit_gpytorch_mll` and `MaxPosteriorSampling`. By turns in this one process.
Prints seconds a problem, the acquisition reached by (a) and (c), each on its own fit, and the memory at its highest.
With `--regret` whole searches of both instead, on the same functions from the same points.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.generation import MaxPosteriorSampling
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.search import Problem, gaussian_process
from lso_bench.search.region import build
from lso_bench.searchers.bo import BO, raw_points
from lso_bench.searchers.turbo import TuRBO, highest

OURS, TURBO = BO(), TuRBO()


def valleys(z: Tensor, peaks: Tensor) -> Tensor:
    """Scores of codes (k, n, d) in a box of 3: rugged valleys, no two problems alike."""
    off = z - peaks
    return -(off.square().sum(-1) + 2 * (1 - torch.cos(2 * off)).sum(-1)) / z.shape[-1]


def batch(x: Tensor, y: Tensor, begin: Tensor, raw: Tensor, fit_steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """The settings, the next points (k, d) and their acquisition."""
    fitted = gaussian_process.fit(x, y, begin, fit_steps)
    assert fitted.model is not None
    acquisition = gaussian_process.log_ei(fitted.model, 1)
    maxima = gaussian_process.maximise(acquisition, raw, OURS.restarts, OURS.polish_steps)
    return fitted.settings, maxima[:, 0], acquisition(maxima[None])[0].detach()


def fitted_alone(x: Tensor, scores: Tensor) -> SingleTaskGP:
    """One problem's process."""
    gp = SingleTaskGP(x, scores[:, None], outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    return gp


def single(x: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """One problem's next point and its acquisition, as BoTorch's users do it."""
    scores = gaussian_process.standardised(y[None])[0]
    gp = fitted_alone(x, scores)
    cube = torch.stack([torch.zeros_like(x[0]), torch.ones_like(x[0])])
    best = LogExpectedImprovement(gp, best_f=scores.max())
    point, value = optimize_acqf(best, cube, q=1, num_restarts=OURS.restarts, raw_samples=OURS.raw)
    assert value is not None
    return point[0].detach(), float(value)


def thompson(x: Tensor, y: Tensor, begin: Tensor, candidates: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The settings and the next points (k, q, d), of TuRBO."""
    fitted = gaussian_process.fit(x, y, begin, TURBO.fit_steps)
    assert fitted.model is not None
    return fitted.settings, highest(candidates, gaussian_process.draws(fitted.model, candidates, noise))


def single_thompson(x: Tensor, y: Tensor, candidates: Tensor) -> Tensor:
    """One problem's next points, as BoTorch's tutorial on TuRBO finds them."""
    gp = fitted_alone(x, gaussian_process.standardised(y[None])[0])
    with torch.no_grad():
        return MaxPosteriorSampling(gp, replacement=False)(candidates, num_samples=TURBO.q)


def step(k: int, n: int, d: int, steps: int, loop: int, fit_steps: int) -> None:
    """Time one step of each way, by turns."""
    torch.manual_seed(0)
    x = torch.rand(k, n, d).double()
    y = valleys(6 * x - 3, torch.rand(k, 1, d).double() * 4 - 2)
    raw = raw_points(x, y, OURS.raw, 1, SobolEngine(d, scramble=True, seed=0), torch.Generator().manual_seed(0))
    unknown = gaussian_process.unknown(k, d)
    settings = batch(x[:, :-1], y[:, :-1], unknown, raw, fit_steps)[0]
    candidates = torch.rand(k, TURBO.candidates, d).double()
    noise = torch.randn(k, TURBO.candidates, TURBO.q).double()
    some = range(loop)
    ways: dict[str, Callable[[], object]] = {
        "bo, from nothing": lambda: batch(x, y, unknown, raw, fit_steps)[2],
        "bo, from the last fit": lambda: batch(x, y, settings, raw, fit_steps),
        "bo, loop": lambda: [single(x[i], y[i])[1] for i in some],
        "turbo, from nothing": lambda: thompson(x, y, unknown, candidates, noise),
        "turbo, from the last fit": lambda: thompson(x, y, settings, candidates, noise),
        "turbo, loop": lambda: [single_thompson(x[i], y[i], candidates[i]) for i in some],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways if loop or "loop" not in name}
    results: dict[str, Any] = {}
    for _ in range(steps):
        for name, each in seconds.items():
            start = time.perf_counter()
            results[name] = ways[name]()
            each.append((time.perf_counter() - start) / (loop if "loop" in name else k))
    print(f"{k} problems (loop: {loop}), {n} points, d = {d}, {torch.get_num_threads()} threads, {steps} steps each")
    for name, s in seconds.items():
        theirs = seconds.get(f"{name.partition(',')[0]}, loop")
        ratio = f"{median(theirs) / median(s):8.1f} x" if theirs else ""
        print(f"{name:26}{median(s):9.4f} s a problem ({min(s):.4f} .. {max(s):.4f}){ratio}")
    if loop:
        gain = results["bo, from nothing"][:loop] - torch.tensor(results["bo, loop"])
        print(f"log EI, ours from nothing minus loop: {gain.median():.3f} ({gain.min():.3f} .. {gain.max():.3f})")
    print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def regret(k: int, d: int, evaluations: int) -> None:
    """Whole searches of both on the same functions from the same points."""
    torch.manual_seed(0)
    peaks = torch.rand(k, 1, d) * 4 - 2
    region = build("box:3", d, lambda: peaks[:, 0])
    starts = region.clip(torch.randn(k, 1, d))
    search = OURS.search(Problem(starts, region))
    z = next(search)
    codes, began = [z], time.perf_counter()
    while sum(c.shape[1] for c in codes) < evaluations:
        z = search.send(valleys(z, peaks))
        codes.append(z)
    ours, spent = torch.cat(codes, 1), time.perf_counter() - began
    theirs, began = ours[:, : OURS.initial], time.perf_counter()
    while theirs.shape[1] < evaluations:
        x, y = (theirs.double() + 3) / 6, valleys(theirs, peaks).double()
        new = torch.stack([single(x[i], y[i])[0] for i in range(k)]).float()
        theirs = torch.cat([theirs, (6 * new - 3)[:, None]], 1)
    print(f"{k} problems, d = {d}, {evaluations} evaluations, {OURS.initial} of them the same; 0 is the optimum")
    for name, points, took in (("ours", ours, spent), ("loop", theirs, time.perf_counter() - began)):
        best = -valleys(points, peaks).amax(1)
        q = torch.quantile(best, torch.tensor([0.25, 0.5, 0.75])).tolist()
        print(f"{name:6} regret: median {q[1]:.3f}, quartiles {q[0]:.3f} .. {q[2]:.3f}; {took:.0f} s")
    better = (valleys(ours, peaks).amax(1) > valleys(theirs, peaks).amax(1)).sum()
    print(f"ours is the better in {better} of {k}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--loop", type=int, default=5)
    parser.add_argument("--fit-steps", type=int, default=OURS.fit_steps)
    parser.add_argument("--regret", action="store_true")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.regret:
        regret(args.problems, args.latent, args.evaluations)
    else:
        step(args.problems, args.points, args.latent, args.steps, args.loop, args.fit_steps)


if __name__ == "__main__":
    main()
