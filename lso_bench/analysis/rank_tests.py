"""Tests of k contestants on the same n blocks: lower is better, infinite is worst, ties are halves.

Which test says what: docs/statistics.md. The tests are SciPy's. Nemenyi's is its studentised range, as in Demsar 2006,
"Statistical Comparisons of Classifiers over Multiple Data Sets", section 3.2.2, and equals that of scikit-posthocs.
Holm's correction equals that of statsmodels, which collects garbage at every call, for 0.1 s.
"""

from typing import Any, cast

import numpy as np
from jaxtyping import Float
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon

BLOCKS = 10  # fewer have no p: the tests are approximations, whose size is measured from there on
CONTESTANTS = 3  # of Friedman's test and Nemenyi's; two are compared by Wilcoxon's alone
ALPHA = 0.05


def mean_ranks(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """1 is best; those that are equal share the mean of their ranks."""
    return rankdata(values, axis=1).mean(axis=0)


def friedman(values: Float[np.ndarray, "n k"]) -> float:
    """p that all contestants are alike; NaN of fewer than BLOCKS or CONTESTANTS, 1 where all are equal everywhere."""
    if values.shape[0] < BLOCKS or values.shape[1] < CONTESTANTS:
        return np.nan
    ranks = rankdata(values, axis=1)
    return 1.0 if (ranks == ranks[:, :1]).all() else float(friedmanchisquare(*ranks.T).pvalue)


def critical_difference(k: int, n: int) -> float:
    """Of mean ranks: by chance, of k that are alike, the largest difference exceeds it in 5 % (Nemenyi 1963)."""
    return float(studentized_range.ppf(1 - ALPHA, k, np.inf)) / np.sqrt(2) * _error(k, n)


def nonsignificant_groups(mean: Float[np.ndarray, " k"], reach: float) -> list[tuple[int, int]]:
    """First and last of each largest run of the ascending mean ranks that spans less than `reach`; two or more."""
    last = [int((mean < at + reach).sum()) - 1 for at in mean]
    return [(i, j) for i, j in enumerate(last) if j > i and (i == 0 or last[i - 1] < j)]


def nemenyi(difference: float, k: int, n: int) -> float:
    """p of a difference of two mean ranks, among all pairs of k contestants on n blocks; NaN as `friedman`."""
    if n < BLOCKS or k < CONTESTANTS:
        return np.nan
    return float(studentized_range.sf(np.sqrt(2) * abs(difference) / _error(k, n), k, np.inf))


def signed_rank(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """p of Wilcoxon's test that a - b is spread evenly around 0; differences of 0 are split (Demsar 2006, section 3.1).

    NaN of fewer than BLOCKS.
    """
    apart = finite_differences(a, b)
    if len(apart) < BLOCKS:
        return np.nan
    return 1.0 if not apart.any() else float(cast(Any, wilcoxon(apart, zero_method="zsplit")).pvalue)


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Adjusted, so that one of them is below 0.05 by chance in 5 % of such families (Holm 1979); NaN stays out."""
    order = np.argsort(p)  # NaN last
    m = int((~np.isnan(p)).sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(p[order[:m]] * np.arange(m, 0, -1)), 1)
    return adjusted


def wins(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """1 where a is better, 0.5 where they are equal, 0 where b is: their mean is the chance that a is better."""
    return (a < b) + 0.5 * (a == b)


def rank_biserial(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Matched pairs: of the ranks of |a - b| the share in favour of a less that of b, from 1 (a is better wherever they
    differ) to -1. Source: Kerby 2014, "The Simple Difference Formula".
    """
    apart = finite_differences(a, b)
    ranks = rankdata(np.abs(apart))
    return float((ranks * -np.sign(apart)).sum() / ranks.sum())


def finite_differences(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """a - b, for ranks: where one is infinite, further than all others; where both are, 0."""
    with np.errstate(invalid="ignore"):
        apart = np.where(a == b, 0.0, a - b)
    largest = np.abs(apart[np.isfinite(apart)]).max(initial=0.0)
    return np.clip(apart, -largest - 1, largest + 1)


def _error(k: int, n: int) -> float:
    """Standard error of a difference of mean ranks, without ties."""
    return np.sqrt(k * (k + 1) / (6 * n))
