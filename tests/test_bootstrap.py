"""Intervals by resampling instances."""

import math

import numpy as np
import pytest
from scipy.stats import bootstrap

from lso_bench.analysis.bootstrap import draws, median_interval, order_statistics


def test_a_resample_has_as_many_instances_as_the_sample():
    assert set(draws(7).sum(axis=1)) == {7.0}


def test_interval_of_the_median_is_that_of_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=40)
    theirs = bootstrap((values,), np.median, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    ours = median_interval(values, np.arange(40))
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.06)


def test_median_of_a_resample_is_that_of_its_values():
    values, instances = np.random.default_rng(2).normal(size=(7, 3)), np.repeat(np.arange(7), 3)
    medians = [np.median(np.repeat(values, w.astype(int), axis=0)) for w in draws(7)]
    expected = np.quantile(medians, [0.025, 0.975], method="inverted_cdf")
    assert median_interval(values.flatten(), instances) == pytest.approx(tuple(expected))


def test_undefined_values_count_as_censored_and_infinite_ones_are_the_largest():
    row = order_statistics(np.array([1.0, 2.0, np.inf, np.nan]), np.arange(4))
    assert (row["n"], row["censored"], row["median"]) == (4, 2, 2.0)
    assert math.isnan(row["mean"])


def test_median_of_few_instances_has_no_interval():
    """All values of n instances hold the median in 1 - 2^(1 - n) of cases: in less than 95 % with 5 of them."""
    for n, has_interval in ((1, False), (5, False), (6, True)):
        row = order_statistics(np.arange(2.0 * n), np.repeat(np.arange(n), 2))
        assert math.isfinite(row["low"]) is math.isfinite(row["high"]) is has_interval


@pytest.mark.parametrize("n", [4, 40])  # without an interval, and with resamples
def test_median_between_infinite_values_of_both_signs_is_undefined(n):
    values = np.array([-np.inf, np.inf] * (n // 2))
    row = order_statistics(values, np.arange(n))
    assert math.isnan(row["median"]) and (row["n"], row["censored"], row["q25"], row["q75"]) == (n, n, -np.inf, np.inf)
