"""Order statistics of searches, with a 95 % interval of the median by resampling instances.

Several searches of one instance are not independent: instances are drawn with replacement, each with all that belongs
to it (percentile bootstrap, fixed draws). SciPy's interpolates between percentiles, which infinite values (censored
searches) do not survive; where all are finite the two agree (tested).
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Shaped

from lso_bench.intervals import NONE, Interval

RESAMPLES = 2000
LEVELS = (0.025, 0.975)
STATISTICS = ("n", "censored", "estimate", "low", "high", "median", "q25", "q75", "mean")


@lru_cache(maxsize=32)
def draws(n: int) -> Float[np.ndarray, "r n"]:
    """How often each of n instances is in each resample."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=RESAMPLES).astype(float)


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
    middle = (times @ np.bincount(of, minlength=times.shape[1])) / 2  # half of the values lie below it, half above
    below, above = _reaching(of, times, np.stack([middle, middle + 0.25]))  # counts are whole
    return (ordered[below] + ordered[np.minimum(above, len(ordered) - 1)]) / 2


def _reaching(
    of: Int[np.ndarray, " n"], times: Float[np.ndarray, "r m"], limits: Float[np.ndarray, "l r"]
) -> Iterator[Int[np.ndarray, " r"]]:
    """Of each resample, the first value up to which it has a limit's values or more: the block, then in it."""
    size = math.isqrt(len(of))
    blocks = -(-len(of) // size)
    padded = np.append(of, np.full(blocks * size - len(of), of[-1]))
    within = np.zeros((blocks, times.shape[1]))
    np.add.at(within, (np.arange(len(of)) // size, of), 1)
    upto = (times @ within.T).cumsum(axis=1)  # (r, blocks)
    for limit in limits:
        block = np.minimum((upto < limit[:, None]).sum(axis=1), blocks - 1)
        before = np.where(block > 0, np.take_along_axis(upto, np.maximum(block - 1, 0)[:, None], 1)[:, 0], 0)
        inside = np.take_along_axis(times, padded.reshape(blocks, size)[block], 1).cumsum(axis=1)
        yield block * size + (before[:, None] + inside < limit[:, None]).sum(axis=1)
