"""Order statistics of searches, with a 95 % interval of the median by resampling instances.

Several searches of one instance are not independent: instances are drawn with replacement, each with all that belongs
to it (percentile bootstrap, fixed draws). SciPy's interpolates between percentiles, which infinite values (censored
searches) do not survive; where all are finite the two agree (tested).
"""

import math
from functools import lru_cache
from itertools import accumulate

import numpy as np
from jaxtyping import Float, Int, Shaped

from lso_bench.analysis.intervals import NONE, Interval

RESAMPLES = 2000
LEVELS = (0.025, 0.975)
STATISTICS = ("n", "censored", "estimate", "low", "high", "median", "q25", "q75", "mean")


@lru_cache(maxsize=32)
def draws(n: int) -> Float[np.ndarray, "r n"]:
    """How often each of n instances is in each resample."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float, order="F")


def interval(resampled: Float[np.ndarray, " r"]) -> Interval:
    """From the statistic of each resample; those in which it is undefined do not count."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined):
        return NONE
    low, high = np.quantile(defined, LEVELS, method="inverted_cdf").tolist()
    return low, high


def order_statistics(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> dict[str, int | float]:
    """n; how many have no finite value (censored); median and its interval, quartiles, mean of all but the undefined.

    A censored search is infinite: longer than any that ended. Then there is no mean.
    """
    there = ~np.isnan(values)
    flat, lost = values[there], int((~np.isfinite(values)).sum())
    if not len(flat):
        return dict.fromkeys(STATISTICS, np.nan) | {"n": len(values), "censored": lost}
    q25, q75 = np.quantile(flat, [0.25, 0.75], method="inverted_cdf").tolist()
    mean = float(flat.mean()) if np.isfinite(flat).all() else np.nan
    low, high = median_interval(flat, instances[there])
    median = float(np.median(flat))
    return dict(zip(STATISTICS, (len(values), lost, median, low, high, median, q25, q75, mean), strict=True))


def median_interval(values: Float[np.ndarray, " n"], instances: Shaped[np.ndarray, " n"]) -> Interval:
    """Of the median of `values`; none for a single instance, or where all values are the same."""
    unique, of = np.unique(instances, return_inverse=True)
    if len(unique) < 2 or values.min() == values.max():
        return NONE
    order = np.argsort(values, kind="stable")
    ordered, of = values[order], of[order]
    return interval(_medians(ordered, of, draws(len(unique))))


def _medians(
    ordered: Float[np.ndarray, " n"], of: Int[np.ndarray, " n"], times: Float[np.ndarray, "r m"]
) -> Float[np.ndarray, " r"]:
    """Of each resample, in which each of m instances stands so many times; `of`: that of each of the ordered values."""
    size = math.isqrt(len(of))
    padded = np.append(of, np.full(-len(of) % size, of[-1])).reshape(-1, size)  # (blocks, size)
    blocks, m = len(padded), times.shape[1]
    within = np.bincount(np.arange(len(of)) // size * m + of, minlength=blocks * m).reshape(blocks, m)
    upto = within.cumsum(axis=0) @ times.T  # (blocks, r): values up to the end of each
    half = upto[-1] / 2  # of the values lie below the median, half above
    below, above = (_reaching(padded, times, upto, limit) for limit in (half, half + 0.25))  # counts are whole
    return (ordered[below] + ordered[np.minimum(above, len(ordered) - 1)]) / 2


def _reaching(
    padded: Int[np.ndarray, "b size"],
    times: Float[np.ndarray, "r m"],
    upto: Float[np.ndarray, "b r"],
    limit: Float[np.ndarray, " r"],
) -> Int[np.ndarray, " r"]:
    """Of each resample, the first value up to which it has `limit` values or more: the block, then in it."""
    each = np.arange(len(limit))
    block = np.minimum(np.count_nonzero(upto < limit, axis=0), len(padded) - 1)
    before = np.where(block > 0, upto[block - 1, each], 0)
    inside = accumulate(times.T[padded[block].T, each])  # cumsum over the first axis takes ten times as long
    return block * padded.shape[1] + sum(so_far < limit - before for so_far in inside)
