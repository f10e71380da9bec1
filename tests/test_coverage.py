"""Intervals cover, and tests err, as often as they say; benchmarks/coverage.py measures the same more closely."""

import runpy
from functools import cache
from pathlib import Path

import pytest

COVERAGE = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "coverage.py"))
HEAVY = "variance 2"  # tails: docs/statistics.md says how far it falls short
SLOW = "k = 8, n = 50"
REPETITIONS = 200
NOISE = 3 * (0.05 * 0.95 / REPETITIONS) ** 0.5


@cache
def rejections(name: str) -> dict[str, float]:
    """Share of studies without a difference in which each test sees one."""
    return COVERAGE["rejections"](COVERAGE["TESTS"][name], REPETITIONS)


@pytest.mark.parametrize("name", [n for n in COVERAGE["INTERVALS"] if n != HEAVY])
def test_interval_covers_as_often_as_it_says(name):
    for what, (inside, *_) in COVERAGE["covered"](COVERAGE["INTERVALS"][name], REPETITIONS).items():
        assert inside >= 0.93 - NOISE, (what, inside)  # discrete figures cover more often than 95 %


@pytest.mark.parametrize("name", [n for n in COVERAGE["TESTS"] if n != SLOW])
def test_what_is_alike_is_found_different_in_a_twentieth_at_most(name):
    for what, share in rejections(name).items():
        assert share <= 0.06 + NOISE, (what, share)


def test_friedman_s_test_is_not_timid():
    assert rejections("k = 4, n = 50")["Friedman"] >= 0.05 - NOISE
