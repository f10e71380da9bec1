"""Tests of contestants on the same blocks, against published figures and other implementations."""

import numpy as np
import pytest
import scipy.stats
from scikit_posthocs import posthoc_nemenyi_friedman
from statsmodels.stats.multitest import multipletests

from lso_bench.analysis import rank_tests

AUC = np.array(  # Demsar 2006, table 6: C4.5, with pruning by m, by cf, by both; on 14 data sets
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.97501, 0.975],  # printed alike, ranked 2 and 3
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_mean_ranks_of_demsar_s_example():
    assert rank_tests.mean_ranks(-AUC) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)


def test_critical_difference_of_demsar_s_example():
    assert rank_tests.critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_friedman_finds_demsar_s_difference():
    assert 0.01 < rank_tests.friedman(-AUC) < 0.05  # there chi2 = 9.28, p = 0.026, without SciPy's correction for ties


def test_signed_ranks_of_demsar_s_example():
    c45, pruned = -AUC[:, :2].T
    assert rank_tests.rank_biserial(c45, pruned) == pytest.approx(
        (12 - 93) / (105 - 3)
    )  # the sums of ranks stand there;
    # they hold the ranks 1 and 2 of two blocks without a difference, half on each side
    assert rank_tests.wilcoxon(c45, pruned) == pytest.approx(0.011, abs=0.001)


@pytest.mark.parametrize("equal", [0, 1, 9])
def test_effect_is_one_where_a_is_better_in_each_block_that_differs(equal):
    a, b = np.r_[np.ones(equal), 2.0, 3.0], np.r_[np.ones(equal), 3.0, 5.0]
    assert rank_tests.rank_biserial(a, b) == 1 and rank_tests.rank_biserial(b, a) == -1
    assert rank_tests.rank_biserial(a[:equal], b[:equal]) == 0


@pytest.mark.parametrize("n", [10, 11])
def test_signed_ranks_with_ties_are_those_of_scipy(n):
    """SciPy permutes the signs one by one, which takes 0.3 s for n = 10 and 2 s for n = 13."""
    differences = np.random.default_rng(n).integers(-2, 4, n).astype(float)
    theirs = scipy.stats.wilcoxon(differences, zero_method="zsplit").pvalue
    assert rank_tests.wilcoxon(differences, np.zeros(n)) == pytest.approx(theirs)


def test_nemenyi_is_that_of_scikit_posthocs():
    theirs = posthoc_nemenyi_friedman(-AUC).to_numpy()
    mean = rank_tests.mean_ranks(-AUC)
    ours = [[rank_tests.nemenyi(a - b, 4, 14) for a in mean] for b in mean]
    assert np.array(ours) == pytest.approx(theirs, abs=1e-6)


def test_nemenyi_s_p_is_a_twentieth_at_the_critical_difference():
    assert rank_tests.nemenyi(rank_tests.critical_difference(5, 30), 5, 30) == pytest.approx(0.05)


@pytest.mark.parametrize("m", [1, 2, 7])
def test_holm_is_that_of_statsmodels(m):
    p = np.random.default_rng(m).beta(0.3, 1, size=m)
    assert rank_tests.holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_was_not_tested():
    assert rank_tests.holm(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


def test_infinite_is_worse_than_everything_and_no_worse_than_itself():
    a, b = np.array([np.inf, 1.0, np.inf]), np.array([9.0, np.inf, np.inf])
    assert rank_tests.wins(a, b).tolist() == [0.0, 1.0, 0.5]
    assert rank_tests.rank_biserial(a, b) == 0.0
    assert np.isfinite(rank_tests.finite_differences(a, b)).all()


def test_rank_biserial_is_one_where_a_is_always_better():
    a = np.arange(5.0)
    assert (rank_tests.rank_biserial(a, a + 1), rank_tests.rank_biserial(a + 1, a)) == (1.0, -1.0)


def test_few_blocks_have_no_p():
    few = np.arange(27.0).reshape(9, 3)
    assert np.isnan(
        [rank_tests.friedman(few), rank_tests.nemenyi(1.0, 3, 9), rank_tests.wilcoxon(few[:, 0], few[:, 1])]
    ).all()
    assert np.isnan(rank_tests.friedman(np.zeros((50, 2))))  # two are no family


def test_what_is_always_equal_has_p_one():
    losses = np.ones((12, 3))
    assert rank_tests.friedman(losses) == rank_tests.wilcoxon(losses[:, 0], losses[:, 1]) == 1.0


def test_alike_are_the_largest_runs_within_the_reach():
    assert rank_tests.nonsignificant_groups(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert rank_tests.nonsignificant_groups(np.array([1.0, 1.2, 1.4]), 1.0) == [(0, 2)]
    assert rank_tests.nonsignificant_groups(np.array([1.0, 3.0]), 1.0) == []
