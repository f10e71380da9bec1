"""Every call of ours is checked while tests run, whether shapes are declared or only types."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError, config

from lso_bench.analysis.rank_tests import finite_differences, mean_ranks
from lso_bench.executors.resources import gpu_of


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
