"""Calls of ours are checked while tests run, whether shapes are declared or only types."""

import math

import checks
import numpy as np
import pytest
from beartype import beartype
from jaxtyping import Float, TypeCheckError, config

from lso_bench.analysis.rank_tests import finite_differences, mean_ranks
from lso_bench.executors.resources import gpu_of


@pytest.fixture(autouse=True)
def every_call_is_checked(monkeypatch):
    """Another test may have called a function often."""
    monkeypatch.setattr(checks, "FIRST_CALLS", math.inf)


def test_argument_of_another_type_is_refused():
    with pytest.raises(TypeCheckError, match="slot"):
        gpu_of("0", 2)  # pyright: ignore[reportArgumentType]


def test_result_of_another_type_is_refused():
    class Odd(int):
        def __mod__(self, gpus):
            return "text"

    with pytest.raises(TypeCheckError, match="return"):
        gpu_of(Odd(1), 2)


def test_array_of_another_shape_is_refused():
    with pytest.raises(TypeCheckError, match="n k"):
        mean_ranks(np.zeros(3))


def test_arrays_whose_common_dimension_differs_are_refused():
    with pytest.raises(TypeCheckError, match="n"):
        finite_differences(np.zeros(3), np.zeros(4))


def test_checks_are_turned_off_for_forks_that_become_the_program(monkeypatch):
    monkeypatch.setattr(config, "jaxtyping_disable", True)
    assert gpu_of(5.0, 2) == 1.0  # pyright: ignore[reportArgumentType]


def double(x: float) -> float:
    return 2 * x


def mean(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, ""]:
    return np.asarray(np.mean(x))


@pytest.mark.parametrize(("function", "right", "wrong"), [(double, 2.0, "a"), (mean, np.ones(2), np.ones((2, 2)))])
def test_later_calls_of_a_function_are_checked_one_in_many(function, right, wrong, monkeypatch):
    monkeypatch.setattr(checks, "FIRST_CALLS", 3)
    monkeypatch.setattr(checks, "LATER_CALLS", 4)
    checked = checks._checked(function, typechecker=beartype)

    def is_refused():
        try:
            checked(wrong)
        except TypeCheckError:
            return True
        return False

    assert [is_refused() for _ in range(12)] == [True] * 4 + [False] * 3 + [True] + [False] * 3 + [True]
    assert checked(right) == function(right)
