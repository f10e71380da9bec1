"""Spearman's rank correlation of few points: its interval, its p by permutation, and the partial one."""

import math
from functools import cache
from typing import Any, cast

import numpy as np
import scipy
from jaxtyping import Float

from lso_bench.analysis.intervals import CONFIDENCE, NONE, Interval

FEWEST = 3  # points that a correlation needs; an interval needs one more
SMALLEST = 1e-9  # variance of ranks that a covariate leaves; less is rounding error
RESAMPLES = 9999  # permutations, at most


def correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Compute Spearman's rho with interval and p, and Kendall's tau-b.

    All are NaN for fewer than FEWEST points, or where x or y is constant.
    """
    ranks = np.stack([scipy.stats.rankdata(x), scipy.stats.rankdata(y)])
    if len(x) < FEWEST or (np.ptp(ranks, axis=1) == 0).any():
        return dict.fromkeys(("estimate", "low", "high", "kendall", "p"), np.nan)
    rho = float(np.clip(_spearman(*ranks), -1, 1))
    low, high = spearman_interval(rho, len(x))
    return {
        "estimate": rho,
        "low": low,
        "high": high,
        "kendall": float(cast(Any, scipy.stats.kendalltau(x, y)).statistic),
        "p": _p_value(*ranks),
    }


def partial_correlation(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], covariate: Float[np.ndarray, " n"]
) -> dict[str, float]:
    """Compute Spearman's partial correlation of x and y given a covariate, and its 95 % interval.

    It is the partial correlation of the ranks. The interval is that of n - 1 points (Fisher 1924). All are NaN for
    fewer than FEWEST + 1 points, and where a variable is constant or a function of the covariate.
    """
    ranks = [scipy.stats.rankdata(v) for v in (x, y, covariate)]
    if len(x) <= FEWEST or any(np.ptp(r) == 0 for r in ranks):
        return dict.fromkeys(("partial", "partial_low", "partial_high"), np.nan)
    xy, xg, yg = (float(_spearman(ranks[i], ranks[j])) for i, j in ((0, 1), (0, 2), (1, 2)))
    left = (1 - xg**2) * (1 - yg**2)
    if left < SMALLEST:
        return dict.fromkeys(("partial", "partial_low", "partial_high"), np.nan)
    partial = float(np.clip((xy - xg * yg) / left**0.5, -1, 1))
    low, high = spearman_interval(partial, len(x) - 1)
    return {"partial": partial, "partial_low": low, "partial_high": high}


def spearman_interval(rho: float, n: int) -> Interval:
    """Compute the 95 % interval of Spearman's rho by Fisher's z; NaN for n <= 3.

    The variance is (1 + rho^2 / 2) / (n - 3), Bonett & Wright 2000. A rho of 1 or -1 is moved towards 0 by half of its
    smallest step, 12 / (n^3 - n). Its interval then ends at 1 or -1.
    """
    if n <= FEWEST:
        return NONE
    limit = 1 - 6 / (n**3 - n)
    clipped = min(max(rho, -limit), limit)
    half_width = scipy.stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((1 + clipped**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(clipped) + np.array([-half_width, half_width])).tolist()
    return (-1.0 if rho < -limit else low), (1.0 if rho > limit else high)


@cache
def smallest_p(n: int) -> float:
    """Return the smallest p that the test of n points can give: that of two equal orders without ties."""
    order = np.arange(float(n))
    return _p_value(order, order)


def method(n: int) -> str:
    """Return what the p of n points is taken from."""
    return f"{RESAMPLES:,} random permutations" if is_drawn(n) else f"all {math.factorial(n):,} permutations"


def is_drawn(n: int) -> bool:
    """Return whether the permutations of n points are drawn, because there are too many to try all."""
    return math.factorial(n) > RESAMPLES


def _p_value(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Compute the two-sided p of a permutation test; all n! pairings are tried where they are few."""
    test = scipy.stats.permutation_test(
        (x,),
        lambda x, axis: _spearman(x, y),
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=0,
    )
    return float(cast(Any, test).pvalue)


def _spearman(x: Float[np.ndarray, "*r n"], y: Float[np.ndarray, " n"]) -> Any:
    """Compute Pearson's correlation of ranks along the last axis."""
    a, b = x - x.mean(axis=-1, keepdims=True), y - y.mean()
    return (a * b).sum(axis=-1) / np.sqrt(np.square(a).sum(axis=-1) * np.square(b).sum())
