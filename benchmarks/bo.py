"""Bayesian optimization of many problems: one batch, against a loop over BoTorch's own functions.

    python benchmarks/bo.py [--problems 50] [--points 30] [--steps 3] [--threads 2] [--loop 5] [--kernels rbf,linear]
    python benchmarks/bo.py --regret [--loop 8] [--evaluations 60] [--searchers bo bo:kernel=linear turbo:q=1 ascent]
    python benchmarks/bo.py --regret --loop 0 --problems 40 --evaluations 50
    python benchmarks/bo.py --regret --loop 0 --evaluations 502 --searchers bo:initial=500,fit_steps=1
    python benchmarks/bo.py --points 500 --loop 0 --steps 1 --fit-steps 5

A step fits the processes and maximises log expected improvement: ours, and in a loop `SingleTaskGP` with the same
kernel, `fit_gpytorch_mll` and `optimize_acqf` with as many raw points and restarts, problem after problem, on `--loop`
of the problems. Of TuRBO the same, with points drawn from as many candidates: the loop is `fit_gpytorch_mll` and
`MaxPosteriorSampling`. By turns in this one process. Prints processor seconds a problem, the acquisition reached by
both, each on its own fit, and the memory at its highest.
With `--regret` whole searches of both instead: ours of all problems, and the loop of the first `--loop` of them. Prints
processor seconds a problem and step, the regrets, and the mean difference of the paired regrets with a 95 % t interval.
Of `bo`, `ascent` and `latent_ga` the loop begins with the same points. Of `turbo` and `baxus` it is the loop of
BoTorch's tutorials, one point a step, with starts of its own. Steps alike: `turbo:q=1`.
`cowboys`, which needs a model, is timed by `benchmarks/cowboys.py`.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import math
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import bo_plain
import torch
from botorch.acquisition import LogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.generation import MaxPosteriorSampling
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood
from scipy.stats import t as student
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.search import SEARCHERS, Problem, Searcher, gaussian_process, kernels
from lso_bench.search.region import build
from lso_bench.searchers.ascent import Ascent
from lso_bench.searchers.baxus import BAxUS
from lso_bench.searchers.bo import BO, FIT, raw_points
from lso_bench.searchers.latent_ga import LatentGA
from lso_bench.searchers.turbo import TuRBO, highest

OURS, TURBO = BO(), TuRBO()
LEAST, FIRST, MOST_LENGTH = 0.5**7, 0.8, 1.6  # lengths of a trust region in BoTorch's tutorials


def valleys(z: Tensor, peaks: Tensor) -> Tensor:
    """Score latents (k, n, d) in a box of 3: rugged valleys, no two problems alike."""
    off = z - peaks
    return -(off.square().sum(-1) + 2 * (1 - torch.cos(2 * off)).sum(-1)) / z.shape[-1]


def batch(x: Tensor, y: Tensor, raw: Tensor, kernel: str, fit_steps: int) -> Tensor:
    """Return the acquisition at the next points."""
    fitted = gaussian_process.fit(x, y, fit_steps, kernel)
    assert fitted.model is not None
    acquisition = gaussian_process.log_ei(fitted.model, 1)
    maxima = gaussian_process.maximise(acquisition, raw, OURS.restarts, OURS.polish_steps)
    return acquisition(maxima[None])[0].detach()


def fitted_alone(x: Tensor, scores: Tensor, kernel: str) -> SingleTaskGP:
    """Fit the process of one problem, with the kernel of the batch."""
    covariance = kernels.build(kernel, x.shape[1], torch.Size())
    gp = SingleTaskGP(x, scores[:, None], covar_module=covariance, outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    return gp


def single(x: Tensor, y: Tensor, kernel: str) -> tuple[Tensor, float]:
    """Return one problem's next point and its acquisition, as BoTorch's users do it."""
    scores = gaussian_process.standardised(y[None])[0]
    gp = fitted_alone(x, scores, kernel)
    cube = torch.stack([torch.zeros_like(x[0]), torch.ones_like(x[0])])
    best = LogExpectedImprovement(gp, best_f=scores.max())
    point, value = optimize_acqf(best, cube, q=1, num_restarts=OURS.restarts, raw_samples=OURS.raw)
    assert value is not None
    return point[0].detach(), float(value)


def thompson(x: Tensor, y: Tensor, candidates: Tensor, noise: Tensor, fit_steps: int) -> Tensor:
    """Return the next points (k, q, d) of TuRBO."""
    fitted = gaussian_process.fit(x, y, fit_steps, TURBO.kernel)
    assert fitted.model is not None
    return highest(candidates, gaussian_process.draws(fitted.model, candidates, noise))


def single_thompson(x: Tensor, y: Tensor, candidates: Tensor, q: int, kernel: str) -> Tensor:
    """Return one problem's next points, as BoTorch's tutorials on TuRBO and BAxUS find them."""
    gp = fitted_alone(x, gaussian_process.standardised(y[None])[0], kernel)
    with torch.no_grad():
        return MaxPosteriorSampling(gp, replacement=False)(candidates, num_samples=q)


def step(k: int, n: int, d: int, steps: int, loop: int, fit_steps: int, names: list[str]) -> None:
    """Time one step of each way, by turns."""
    torch.manual_seed(0)
    x = torch.rand(k, n, d).double()
    y = valleys(6 * x - 3, torch.rand(k, 1, d).double() * 4 - 2)
    raw = raw_points(x, y, OURS.raw, 1, SobolEngine(d, scramble=True, seed=0), torch.Generator().manual_seed(0))
    candidates, noise = torch.rand(k, TURBO.candidates, d).double(), torch.randn(k, TURBO.candidates, TURBO.q).double()
    ways: dict[str, Callable[[], object]] = {}
    for name in names:
        ways[f"bo {name}"] = lambda name=name: batch(x, y, raw, name, fit_steps)
        ways[f"bo {name}, loop"] = lambda name=name: [single(x[i], y[i], name)[1] for i in range(loop)]
    ways["turbo"] = lambda: thompson(x, y, candidates, noise, fit_steps)
    ways["turbo, loop"] = lambda: [single_thompson(x[i], y[i], candidates[i], TURBO.q, "rbf") for i in range(loop)]
    seconds: dict[str, list[float]] = {name: [] for name in ways if loop or "loop" not in name}
    results: dict[str, Any] = {}
    for _ in range(steps):
        for name, spent in seconds.items():
            start = time.process_time()
            results[name] = ways[name]()
            spent.append((time.process_time() - start) / (loop if "loop" in name else k))
    print(f"{k} problems (loop: {loop}), {n} points, d = {d}, {torch.get_num_threads()} threads, {steps} steps each")
    for name, s in seconds.items():
        theirs = seconds.get(f"{name}, loop")
        ratio = f"{median(theirs) / median(s):8.1f} x" if theirs else ""
        print(f"{name:18}{median(s):9.4f} CPU s a problem ({min(s):.4f} .. {max(s):.4f}){ratio}")
    for name in names if loop else ():
        gain = results[f"bo {name}"][:loop] - torch.tensor(results[f"bo {name}, loop"])
        print(f"log EI of {name}, ours minus loop: {gain.median():.3f} ({gain.min():.3f} .. {gain.max():.3f})")
    print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def regret(k: int, d: int, evaluations: int, loop: int, names: list[str]) -> None:
    """Run whole searches of both on the same functions: ours of all k, and the loop of the first `loop` of them."""
    torch.manual_seed(0)
    peaks = torch.rand(k, 1, d) * 4 - 2
    region = build("box:3", d, lambda: peaks[:, 0])
    problem = Problem(region.clip(torch.randn(k, 1, d)), region)
    print(f"{k} problems (loop: {loop}), d = {d}, {evaluations} evaluations; 0 is the optimum")
    for name in names:
        searcher, began = SEARCHERS.build(name), time.process_time()
        ours, steps = searched(searcher, problem, peaks, evaluations)
        spent, began = time.process_time() - began, time.process_time()
        report_regrets(name, regrets := -valleys(ours, peaks).amax(1), spent / k, steps)
        if not loop:
            continue
        theirs = looped(searcher, ours[:loop], peaks[:loop], evaluations)
        took = time.process_time() - began
        loop_regrets = -valleys(theirs, peaks[:loop]).amax(1)
        report_regrets(f"{name}, loop", loop_regrets, took / loop, steps)
        report_difference(regrets[:loop] - loop_regrets, took / loop / (spent / k))
    print(f"memory at its highest: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def report_regrets(label: str, regrets: Tensor, seconds: float, steps: int) -> None:
    """Print the regrets of the problems, and the processor time of one."""
    q = torch.quantile(regrets, torch.tensor([0.25, 0.5, 0.75])).tolist()
    print(
        f"{label:26} median {q[1]:.3f}, quartiles {q[0]:.3f} .. {q[2]:.3f}; "
        f"{seconds:.3f} CPU s a problem, {seconds / steps:.5f} a step",
        flush=True,
    )


def report_difference(differences: Tensor, ratio: float) -> None:
    """Print the mean of paired differences of regrets with its 95 % t interval, and how many times as fast ours is."""
    n, mean, spread = len(differences), float(differences.mean()), float(differences.std())
    half = float(student.ppf(0.975, n - 1)) * spread / n**0.5
    print(f"regret, ours minus loop, {n} problems: {mean:.3f} ({mean - half:.3f} .. {mean + half:.3f}); {ratio:.1f} x")


def searched(searcher: Searcher, problem: Problem, peaks: Tensor, evaluations: int) -> tuple[Tensor, int]:
    """Return the points (k, n, d) of a search of all problems at once, and the number of its steps after the design."""
    search = searcher.search(problem)
    points, steps, design = [next(search)], 0, searcher.design(peaks.shape[-1])
    while (n := sum(part.shape[1] for part in points)) < evaluations:
        points.append(search.send(valleys(points[-1], peaks)))
        steps += n >= design
    return torch.cat(points, 1)[:, :evaluations], steps


def looped(searcher: Searcher, ours: Tensor, peaks: Tensor, evaluations: int) -> Tensor:
    """Return the points of searches of one problem after the other, as published code does it."""
    return torch.stack([alone(searcher, z, peak, evaluations) for z, peak in zip(ours, peaks, strict=True)])


def alone(searcher: Searcher, ours: Tensor, peak: Tensor, evaluations: int) -> Tensor:
    """Return the points (n, d) of a search of one problem, which may begin with the first of ours."""
    first = ours[: searcher.design(len(ours[0]))]
    match searcher:
        case BO():
            return looped_bo(first, peak, evaluations, searcher.kernel)
        case BAxUS() | TuRBO():
            return looped_trust_region(peak, evaluations, searcher, isinstance(searcher, BAxUS))
        case LatentGA():
            return bo_plain.latent_ga(first, lambda z: valleys(z, peak), evaluations, searcher)
        case Ascent():
            return bo_plain.ascent(first, lambda z: valleys(z, peak), evaluations, searcher)
    raise ValueError(f"wanted a searcher that has a loop here, got {searcher}; or --loop 0")


def looped_bo(z: Tensor, peak: Tensor, evaluations: int, kernel: str) -> Tensor:
    """Go on from some points of one problem, one point a step."""
    while len(z) < evaluations:
        new, _ = single((z.double() + 3) / 6, valleys(z, peak).double(), kernel)
        z = torch.cat([z, (6 * new - 3).to(z)[None]])
    return z


def looped_trust_region(peak: Tensor, evaluations: int, searcher: TuRBO | BAxUS, embedded: bool) -> Tensor:
    """Search one problem as BoTorch's tutorial on TuRBO, or on BAxUS where `embedded`; coordinates in [-1, 1]."""
    d = peak.shape[-1]
    matrix = embedding(d, 3) if embedded else torch.eye(d).double()  # (e, d)
    y = 2 * torch.rand(searcher.initial, len(matrix)).double() - 1
    length, successes, failures = FIRST, 0, 0
    z = (3 * y @ matrix).float()
    while len(z) < evaluations:
        scores = valleys(z, peak).double()
        gp = fitted_alone((y + 1) / 2, gaussian_process.standardised(scores[None])[0], searcher.kernel)
        with torch.no_grad():
            new = MaxPosteriorSampling(gp, replacement=False)(candidates_around(gp, y, scores, length, searcher), 1)
        y = torch.cat([y, 2 * new - 1])
        z = (3 * y @ matrix).float()
        better = bool(valleys(z[-1:], peak) > scores.max() + 1e-3 * scores.max().abs())
        successes, failures = (successes + 1, 0) if better else (0, failures + 1)
        if successes == 3:
            length, successes = min(2 * length, MOST_LENGTH), 0
        elif failures >= max(1, min(len(matrix), tolerance(matrix, evaluations))):
            length, failures = length / 2, 0
        if length < LEAST:
            length = FIRST
            matrix, y = grown(matrix, y, 3)
    return z


def candidates_around(gp: SingleTaskGP, y: Tensor, scores: Tensor, length: float, searcher: TuRBO | BAxUS) -> Tensor:
    """Return points of the unit cube in the trust region of one problem."""
    best, e = (y[scores.argmax()] + 1) / 2, y.shape[1]
    covariance: Any = gp.covar_module
    lengthscales = covariance.lengthscale.detach().view(-1)
    half = lengthscales / lengthscales.log().mean().exp() * length / 2
    low, high = (best - half).clamp(0, 1), (best + half).clamp(0, 1)
    moved = torch.rand(searcher.candidates, e) < 20 / e
    moved[torch.arange(searcher.candidates), torch.randint(e, (searcher.candidates,))] = True
    return torch.where(moved, low + (high - low) * torch.rand(searcher.candidates, e), best)


def tolerance(matrix: Tensor, evaluations: int) -> int:
    """Return after how many failures a trust region of an embedding is halved (the tutorial)."""
    e, d = matrix.shape
    if e == d:
        return d
    splits = round(math.log(d, 4))
    first = min(range(1, 4), key=lambda n: abs(n * 4**splits - d))
    split_budget = round(3 * evaluations * e / (first * (4 ** (splits + 1) - 1)))
    return split_budget // math.floor(math.log(LEAST / FIRST, 0.5))


def embedding(d: int, bins: int) -> Tensor:
    """Return a matrix (e, d) of one -1 or 1 a column, with as many rows as the tutorial begins with."""
    splits = round(math.log(d, bins + 1))
    first = min(range(1, bins + 1), key=lambda n: abs(n * (bins + 1) ** splits - d))
    matrix = torch.zeros(first, d).double()
    for row, columns in enumerate(torch.randperm(d).tensor_split(first)):
        matrix[row, columns] = 2 * torch.randint(2, (len(columns),)).double() - 1
    return matrix


def grown(matrix: Tensor, y: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Split each row of an embedding into `bins` + 1 (the paper; the tutorial has one fewer), and copy the points."""
    rows, copies = [], []
    for row in range(len(matrix)):
        columns = matrix[row].nonzero()[:, 0]
        for part in columns[torch.randperm(len(columns))].tensor_split(min(bins + 1, len(columns))):
            rows.append(torch.zeros_like(matrix[row]).index_copy(0, part, matrix[row, part]))
            copies.append(row)
    return torch.stack(rows), y[:, copies]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--latent", type=int, default=32)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--loop", type=int, default=5)
    parser.add_argument("--fit-steps", type=int, default=FIT * OURS.fit_steps)
    parser.add_argument("--kernels", default="rbf,matern,linear")
    parser.add_argument(
        "--searchers", nargs="+", default=["bo", "bo:kernel=matern", "bo:kernel=linear", "turbo", "baxus"]
    )
    parser.add_argument("--regret", action="store_true")
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.regret:
        regret(args.problems, args.latent, args.evaluations, args.loop, args.searchers)
    else:
        step(args.problems, args.points, args.latent, args.steps, args.loop, args.fit_steps, args.kernels.split(","))


if __name__ == "__main__":
    main()
