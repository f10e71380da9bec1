"""Order statistics of searches, with a 95 % interval of the median from resampled instances.

Searches of one instance are not independent. Instances are drawn with replacement, each with all its searches
(percentile bootstrap, fixed seed). SciPy's bootstrap interpolates between percentiles, which fails for infinite values
(censored searches). Where all values are finite, the two agree (tested).
"""

import math
from functools import lru_cache
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int, Shaped

from lso_bench.analysis.intervals import NONE, Interval

RESAMPLES = 2000
FEWEST = 6  # blocks of an interval: all values of n blocks hold the median with probability 1 - 2^(1 - n), 0.97 for 6
LEVELS = (0.025, 0.975)
STATISTICS = ("n", "censored", "estimate", "low", "high", "median", "q25", "q75", "mean")


@lru_cache(maxsize=32)
def draws(n: int) -> Float[np.ndarray, "r n"]:
    """Return how often each of n instances occurs in each of RESAMPLES resamples; the seed is fixed."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float, order="F")


def interval(resampled: Float[np.ndarray, " r"]) -> Interval:
    """Return the 95 % percentile interval of a statistic, from its value in each resample.

    Resamples in which the statistic is undefined (NaN) are left out.
    """
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return NONE
    low, high = np.quantile(defined, LEVELS, method="inverted_cdf").tolist()
    return low, high


def order_statistics(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> dict[str, int | float]:
    """Return n, the number of censored values, the median with its interval, the quartiles and the mean.

    NaN is undefined and enters n and `censored` alone. A censored search is infinite: longer than any search that
    ended. With an infinite value there is no mean. A median between infinite values of both signs is NaN.
    """
    is_defined = ~np.isnan(values)
    defined, censored = values[is_defined], int((~np.isfinite(values)).sum())
    if not len(defined):
        return dict.fromkeys(STATISTICS, np.nan) | {"n": len(values), "censored": censored}
    q25, q75 = np.quantile(defined, [0.25, 0.75], method="inverted_cdf").tolist()
    mean = float(defined.mean()) if np.isfinite(defined).all() else np.nan
    low, high = median_interval(defined, instances[is_defined])
    with np.errstate(invalid="ignore"):  # between two infinite values of different signs it is undefined
        median = float(np.median(defined))
    return dict(zip(STATISTICS, (len(values), censored, median, low, high, median, q25, q75, mean), strict=True))


def median_interval(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> Interval:
    """Return the interval of the median; NaN for fewer than FEWEST instances, or where all values are equal.

    With fewer, no interval without assumptions holds the median in 95 % of cases.
    """
    unique, instance_index = np.unique(instances, return_inverse=True)
    if len(unique) < FEWEST or values.min() == values.max():
        return NONE
    order = np.argsort(values, kind="stable")
    ordered, instance_index = values[order], instance_index[order]
    return interval(_medians(ordered, instance_index, draws(len(unique))))


def _medians(
    ordered: Float[np.ndarray, " n"], instance_index: Int[np.ndarray, " n"], counts: Float[np.ndarray, "r m"]
) -> Float[np.ndarray, " r"]:
    """Return the median of each resample, in which each of m instances occurs `counts` times.

    `ordered` is ascending; `instance_index` names the instance of each value.
    """
    size = math.isqrt(len(instance_index))
    padding = np.full(-len(instance_index) % size, instance_index[-1])
    padded = np.append(instance_index, padding).reshape(-1, size)  # (blocks, size)
    blocks, m = len(padded), counts.shape[1]
    block_counts = np.bincount(
        np.arange(len(instance_index)) // size * m + instance_index, minlength=blocks * m
    ).reshape(blocks, m)
    cumulative = block_counts.cumsum(axis=0) @ counts.T  # (blocks, r): number of values up to the end of each block
    half = cumulative[-1] / 2  # of the values lie below the median, half above
    limits = (half, half + 0.25)  # counts are whole numbers
    below, above = (_first_reaching(padded, counts, cumulative, limit) for limit in limits)
    with np.errstate(invalid="ignore"):  # as in `order_statistics`
        return (ordered[below] + ordered[np.minimum(above, len(ordered) - 1)]) / 2


def _first_reaching(
    padded: Int[np.ndarray, "b size"],
    counts: Float[np.ndarray, "r m"],
    cumulative: Float[np.ndarray, "b r"],
    limit: Float[np.ndarray, " r"],
) -> Int[np.ndarray, " r"]:
    """Return, for each resample, the index of the first value at which the cumulative count reaches `limit`.

    The block is found first, then the place within it.
    """
    resample = np.arange(len(limit))
    block = np.minimum(np.count_nonzero(cumulative < limit, axis=0), len(padded) - 1)
    before = np.where(block > 0, cumulative[block - 1, resample], 0)
    # cumsum over the first axis takes ten times as long
    partial_counts = accumulate(counts.T[padded[block].T, resample])
    return block * padded.shape[1] + sum(so_far < limit - before for so_far in partial_counts)
