"""The stopping rule on losses whose answer is known."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from lso_bench.runner.stopping import Thresholds


def follow(losses, thresholds, check_every=1):
    """The steps at which a search with these losses met each threshold."""
    tracker = Thresholds(thresholds, check_every, 1, 1)
    for step, loss in enumerate(losses):
        tracker.update(step, torch.tensor([float(loss)]), torch.tensor([[float(step)]]))
    return tracker


def test_meets_a_threshold_when_the_loss_falls_by_no_more():
    tracker = follow([10, 8, 7, 6.75, 6.75], [1.5, 0.5, 0.25, 0.0])
    assert tracker.step_at_threshold.tolist() == [[2, 3, 3, 4]]


def test_looks_only_at_every_check():
    losses = [10.0, 10.0, 10.0, 4.0, 4.0, 4.0, 3.9]
    assert follow(losses, [0.0, 0.2], check_every=3).step_at_threshold.tolist() == [[-1, 6]]


def test_rising_loss_counts_as_converged():
    assert follow([5, 4, 4.5], [0.0]).step_at_threshold.tolist() == [[2]]


def test_keeps_the_code_of_the_first_time():
    assert follow([5, 5, 1, 1], [0.0]).z_at_threshold[0, 0, 0] == 1.0


def test_infinite_loss_never_converges():
    assert follow([5, float("inf"), float("inf")], [0.0]).step_at_threshold.tolist() == [[-1]]


def test_nan_never_converges():
    assert follow([5, float("nan"), float("nan")], [0.0]).step_at_threshold.tolist() == [[-1]]


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30))
def test_smaller_thresholds_are_never_met_earlier(losses):
    met = follow(losses, [5.0, 1.0, 0.0]).step_at_threshold[0].tolist()
    steps = [float("inf") if m < 0 else m for m in met]
    assert steps == sorted(steps)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=20), st.integers(1, 4))
def test_members_do_not_disturb_each_other(losses, check_every):
    both = Thresholds([1.0, 0.0], check_every, 2, 1)
    for step, loss in enumerate(losses):
        both.update(step, torch.tensor([0.0 * loss, loss]), torch.zeros(2, 1))
    assert both.step_at_threshold[1].tolist() == follow(losses, [1.0, 0.0], check_every).step_at_threshold[0].tolist()
