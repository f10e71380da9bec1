"""Measure how often the printed intervals cover the truth, and how often the tests find what is not there.

    python benchmarks/coverage.py [--repetitions 4000] [--only "variance"]

Data are drawn from distributions whose truth is known, with 50 instances unless said. Printed: the share of intervals
that cover the truth (nominal 95 %), and that miss it below and above; of tests, the share of families in which anything
is found though all are alike (nominal 5 %); each with its Monte-Carlo standard error.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
from scipy.stats import gamma, spearmanr

from lso_bench.analysis import rank_tests
from lso_bench.analysis.bootstrap import median_interval
from lso_bench.analysis.convergence import running_time
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.rank_correlation import correlation, spearman_interval
from lso_bench.analysis.variance import decomposition

N = 50  # instances, as in the paper's task
EACH = np.arange(N)
BUDGET = 1000.0

Found = Iterator[tuple[str, float, float, float]]  # what, low, truth, high
Draw = Callable[[np.random.Generator], Found]


def medians(rng: np.random.Generator) -> Found:
    """Medians of final losses, of their paired differences, of steps counted in hundreds, of 4 seeds an instance."""
    yield "losses, lognormal", *_around(rng.lognormal(size=N), 1.0)
    apart = rng.lognormal(size=N) - rng.lognormal(size=N)
    yield "paired differences, symmetric", *_around(apart, 0.0)
    yield "paired differences, skewed", *_around(rng.gamma(2, size=N) - 1, float(gamma.ppf(0.5, 2)) - 1)
    steps = 100 * np.ceil(rng.gamma(4, 1.5, size=N))
    yield "steps, in hundreds", *_around(steps, 100 * np.ceil(float(gamma.ppf(0.5, 4, scale=1.5))))
    low, high = median_interval(np.repeat(rng.normal(size=N), 4) + 0.3 * rng.normal(size=4 * N), np.repeat(EACH, 4))
    yield "losses, 4 seeds an instance", low, 0.0, high


def shares(p: float, rng: np.random.Generator) -> Found:
    """Shares of single searches, of 6 alike an instance, of pairs of 4 starts in the same basin, of wins with ties."""
    name = f"share {p:g}"
    yield f"{name}, one search", *_share((rng.random((N, 1)) < p), p)
    tried = rng.random((N, 6)) < rng.beta(3 * p, 3 - 3 * p, size=(N, 1))
    yield f"{name}, 6 searches", *_share(tried, p)
    basin = rng.random((N, 4)) < np.sqrt(p)  # in the largest; the others all differ
    first, second = np.triu_indices(4, 1)
    yield f"{name}, pairs of 4 starts", *_share(basin[:, first] & basin[:, second], p)
    won = rng.choice([0.0, 0.5, 1.0], size=(N, 1), p=[0.9 * (1 - p), 0.1, 0.9 * p])
    yield f"{name}, wins with ties", *_share(won, 0.05 + 0.9 * p)


def running_times(p: float, rng: np.random.Generator) -> Found:
    """aRT: a search succeeds with chance p after lognormal costs, or spends its budget."""
    at = np.where(rng.random(N) < p, 300 * rng.lognormal(0, np.sqrt(0.5), size=N), np.inf)
    row = running_time(at, np.full(N, BUDGET), EACH)
    truth = (p * 300 * np.exp(0.25) + (1 - p) * BUDGET) / p
    yield f"aRT, success {p:g}", row["low"], truth, row["high"]


def variances(shape: float, rng: np.random.Generator) -> Found:
    """Variances of 4 starts: targets of variance 4, gamma with this shape (infinite: normal), starts of variance 1."""
    targets = rng.normal(size=(N, 1)) if np.isinf(shape) else (rng.gamma(shape, size=(N, 1)) - shape) / np.sqrt(shape)
    loss = 2 * targets + rng.normal(size=(N, 4))
    truth = {"variance:start": 1, "variance:target": 4, "variance:total": 5, "variance share:start": 0.2}
    yield from _decomposed(f"targets {'normal' if np.isinf(shape) else f'gamma {shape:g}'}", loss, truth)


def basins(rng: np.random.Generator) -> Found:
    """Variances of 4 starts, one in five of which ends 2.5 above."""
    loss = 2 * rng.normal(size=(N, 1)) + 2.5 * (rng.random((N, 4)) < 0.2)
    start = 2.5**2 * 0.16
    truth = {"variance:start": start, "variance:target": 4, "variance share:start": start / (4 + start)}
    yield from _decomposed("basins", loss, truth)


def rank_correlations(n: int, rho: float, rng: np.random.Generator) -> Found:
    """Spearman's of n points, normal with correlation rho."""
    x = rng.normal(size=n)
    y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=n)
    low, high = spearman_interval(float(cast(Any, spearmanr(x, y)).statistic), n)
    yield f"Spearman, n = {n}, normal {rho:g}", low, 6 / np.pi * np.arcsin(rho / 2), high


INTERVALS: dict[str, Draw] = {
    "median": medians,
    **{f"share {p:g}": partial(shares, p) for p in (0.5, 0.8, 0.95)},
    **{f"aRT {p:g}": partial(running_times, p) for p in (0.3, 0.6, 0.9)},
    **{f"variance {s:g}": partial(variances, s) for s in (np.inf, 8, 2)},
    "variance basins": basins,
    **{f"Spearman {n} {r:g}": partial(rank_correlations, n, r) for n in (4, 6, 8, 10, 20) for r in (0, 0.6, 0.9)},
}


def alike(k: int, n: int, step: float, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Smallest p of each test, of k contestants that are alike on n instances; rounded to `step`, losses are tied."""
    values = rng.lognormal(size=(n, 1)) + rng.normal(size=(n, k))
    values = np.round(values / step) * step if step else values
    pairs = [*zip(*np.triu_indices(k, 1), strict=True)]
    mean = rank_tests.mean_ranks(values)
    yield "Friedman", rank_tests.friedman(values)
    yield "Nemenyi, any pair", min(rank_tests.nemenyi(mean[i] - mean[j], k, n) for i, j in pairs)
    yield (
        "Wilcoxon-Holm, any pair",
        rank_tests.holm(np.array([rank_tests.wilcoxon(values[:, i], values[:, j]) for i, j in pairs])).min(),
    )


def unrelated(n: int, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """p of Spearman's correlation by permutation, of n pairs."""
    yield "Spearman by permutation", correlation(*rng.normal(size=(2, n)))["p"]


TESTS: dict[str, Callable[[np.random.Generator], Iterator[tuple[str, float]]]] = {
    **{
        f"k = {k}, n = {n}{', ties' * bool(step)}": partial(alike, k, n, step)
        for k, n, step in ((3, 10, 0), (4, 10, 0), (3, 50, 0), (4, 50, 0), (8, 50, 0), (4, 50, 1.0))
    },
    **{f"n = {n}": partial(unrelated, n) for n in (4, 6, 10)},
}


def covered(draw: Draw, repetitions: int) -> dict[str, tuple[float, float, float]]:
    """Shares of each interval that cover the truth, that lie above it, that lie below it."""
    rng, hits = np.random.default_rng(0), {}
    for _ in range(repetitions):
        for what, low, truth, high in draw(rng):
            hits.setdefault(what, []).append((low <= truth <= high, low > truth, high < truth))
    return {what: tuple(np.mean(h, axis=0).tolist()) for what, h in hits.items()}


def rejections(draw: Callable, repetitions: int) -> dict[str, float]:
    """Share of repetitions with a p below 0.05, of each test."""
    rng, small = np.random.default_rng(0), {}
    for _ in range(repetitions):
        for what, p in draw(rng):
            small.setdefault(what, []).append(p < 0.05)
    return {what: float(np.mean(s)) for what, s in small.items()}


def _around(values: np.ndarray, truth: float) -> tuple[float, float, float]:
    low, high = median_interval(values, EACH)
    return low, truth, high


def _share(tried: np.ndarray, truth: float) -> tuple[float, float, float]:
    row = proportion_interval(tried.astype(float).ravel(), np.repeat(EACH, tried.shape[1]))
    return row["low"], truth, row["high"]


def _decomposed(name: str, loss: np.ndarray, truth: dict[str, float]) -> Found:
    instance, start = (i.ravel() for i in np.indices(loss.shape))
    table = pd.DataFrame({"instance": instance, "init": start, "loss": loss.ravel()})
    table = table.assign(search=0, start="random", start_id=[f"random {s}" for s in start], train=0, weights="")
    rows = {r["measure"]: r for r in decomposition(table)}
    for measure, value in truth.items():
        yield f"{measure}, {name}", rows[measure]["low"], value, rows[measure]["high"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=4000)
    parser.add_argument("--only", default="", help="cases whose name begins so")
    args = parser.parse_args()
    r = args.repetitions
    print(f"{r} repetitions; the standard error of 95 % and of 5 % is {(0.05 * 0.95 / r) ** 0.5:.2%}")
    for draw in (d for name, d in INTERVALS.items() if name.startswith(args.only)):
        for what, (inside, above, below) in covered(draw, r).items():
            print(f"{what:45}{inside:8.1%}   misses: above {above:.1%}, below {below:.1%}", flush=True)
    for name, draw in ((n, d) for n, d in TESTS.items() if n.startswith(args.only)):
        for what, share_found in rejections(draw, r).items():
            print(f"{what:28}{name:17}{share_found:8.1%}", flush=True)


if __name__ == "__main__":
    main()
