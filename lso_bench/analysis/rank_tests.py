"""Tests of k contestants on the same n blocks: lower is better, infinite is worst, ties count half.

docs/statistics.md says what each test shows. The tests are SciPy's. Nemenyi's test uses SciPy's studentised range, as
in Demsar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets", section 3.2.2, and equals that of
scikit-posthocs. Holm's correction equals that of statsmodels, which collects garbage for 0.1 s at every call.
"""

from functools import cache
from typing import Any, cast

import numpy as np
import scipy
from jaxtyping import Float, Int

BLOCKS = 10  # with fewer there is no p: the tests are approximations, whose size was measured from 10 blocks on
CONTESTANTS = 3  # fewest for Friedman's and Nemenyi's tests; two are compared by Wilcoxon's alone
ALPHA = 0.05
ENUMERATED = 13  # most tied differences whose signs are enumerated; with more the test is approximate, as in SciPy


def mean_ranks(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Compute mean ranks; 1 is best, and equal values share the mean of their ranks."""
    return scipy.stats.rankdata(values, axis=1).mean(axis=0)


def friedman(values: Float[np.ndarray, "n k"]) -> float:
    """Compute p of the hypothesis that all contestants are equal (Friedman's test).

    NaN for fewer than BLOCKS or CONTESTANTS; 1 where all are equal in every block.
    """
    if values.shape[0] < BLOCKS or values.shape[1] < CONTESTANTS:
        return np.nan
    ranks = scipy.stats.rankdata(values, axis=1)
    return 1.0 if (ranks == ranks[:, :1]).all() else float(scipy.stats.friedmanchisquare(*ranks.T).pvalue)


def critical_difference(k: int, n: int) -> float:
    """Compute Nemenyi's critical difference of mean ranks (Nemenyi 1963).

    Among k equal contestants the largest difference exceeds it by chance in 5 % of cases.
    """
    return float(scipy.stats.studentized_range.ppf(1 - ALPHA, k, np.inf)) / np.sqrt(2) * _standard_error(k, n)


def nonsignificant_groups(mean: Float[np.ndarray, " k"], reach: float) -> list[tuple[int, int]]:
    """Return first and last index of each maximal group of contestants that do not differ significantly.

    `mean` ascends; a group spans less than `reach` (the critical difference) and has two or more members.
    """
    last = [int((mean < at + reach).sum()) - 1 for at in mean]
    return [(i, j) for i, j in enumerate(last) if j > i and (i == 0 or last[i - 1] < j)]


def nemenyi(difference: float, k: int, n: int) -> float:
    """Compute p of a difference of two mean ranks, among all pairs of k contestants on n blocks; NaN as `friedman`."""
    if n < BLOCKS or k < CONTESTANTS:
        return np.nan
    return float(scipy.stats.studentized_range.sf(np.sqrt(2) * abs(difference) / _standard_error(k, n), k, np.inf))


def wilcoxon(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Compute p of Wilcoxon's signed-rank test that a - b is symmetric around 0.

    Differences of 0 are split (Demsar 2006, section 3.1). NaN for fewer than BLOCKS.
    """
    differences = finite_differences(a, b)
    if len(differences) < BLOCKS:
        return np.nan
    if not differences.any():
        return 1.0
    has_ties = not differences.all() or len(np.unique(np.abs(differences))) < len(differences)
    if has_ties and len(differences) <= ENUMERATED:
        return _enumerated(differences)
    return float(cast(Any, scipy.stats.wilcoxon(differences, zero_method="zsplit")).pvalue)


@cache
def smallest_wilcoxon(n: int, k: int) -> float:
    """Return the smallest p that `wilcoxon` of n blocks can give after Holm's correction over all pairs of k.

    It is that of distinct differences of one sign. NaN for fewer than BLOCKS.
    """
    return float(np.minimum(k * (k - 1) / 2 * wilcoxon(np.arange(1.0, n + 1), np.zeros(n)), 1))


@cache
def fewest_blocks(k: int) -> int:
    """Return the fewest blocks of which `wilcoxon`, after Holm's correction over all pairs of k, can be significant."""
    return next(n for n in range(BLOCKS, BLOCKS + k * k) if smallest_wilcoxon(n, k) < ALPHA)


def _enumerated(differences: Float[np.ndarray, " n"]) -> float:
    """Compute p over all signs of tied differences: the p of `scipy.stats.wilcoxon`, which takes 0.3 s for n = 12."""
    ranks = scipy.stats.rankdata(np.abs(differences)) * np.sign(differences)
    twice = np.rint(2 * np.abs(ranks[ranks != 0])).astype(int)  # whole numbers: tied ranks end in .5
    sums = _all_signs(len(twice)) @ twice
    positive = np.rint(2 * ranks[ranks > 0]).sum()
    return float(min(1.0, 2 * min(np.mean(sums >= positive), np.mean(sums <= positive))))


@cache
def _all_signs(n: int) -> Int[np.ndarray, "signs n"]:
    """Return all 2^n vectors of zeros and ones."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Adjust p-values by Holm's method (Holm 1979); NaN stays NaN and is not counted.

    Among true hypotheses, one is below 0.05 by chance in 5 % of families.
    """
    order = np.argsort(p)  # NaN last
    m = int((~np.isnan(p)).sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:m]] = np.minimum(np.maximum.accumulate(p[order[:m]] * np.arange(m, 0, -1)), 1)
    return adjusted


def wins(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return 1 where a is better, 0.5 where both are equal, 0 where b is better.

    The mean is the probability that a is better.
    """
    return (a < b) + 0.5 * (a == b)


def rank_biserial(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Compute the matched-pairs rank-biserial correlation.

    It is the share of the ranks of |a - b| in favour of a less that in favour of b, over the blocks in which they
    differ: 1 where a is better in each of these, -1 where it is worse, 0 where there are none. The ranks are those of
    `wilcoxon`, among all blocks. Source: Kerby 2014, "The Simple Difference Formula".
    """
    differences = finite_differences(a, b)
    ranks = scipy.stats.rankdata(np.abs(differences)) * (differences != 0)
    return float((ranks * -np.sign(differences)).sum() / max(ranks.sum(), 1))


def finite_differences(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return a - b for ranking: beyond all finite differences where one is infinite, 0 where both are."""
    with np.errstate(invalid="ignore"):
        differences = np.where(a == b, 0.0, a - b)
    largest = np.abs(differences[np.isfinite(differences)]).max(initial=0.0)
    return np.clip(differences, -largest - 1, largest + 1)


def _standard_error(k: int, n: int) -> float:
    """Compute the standard error of a difference of mean ranks, without ties."""
    return np.sqrt(k * (k + 1) / (6 * n))
