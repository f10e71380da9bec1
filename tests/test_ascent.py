"""Gradient ascent on a surrogate: what it predicts, where it goes, and points that were scored before."""

import pytest
import torch

from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.perceptrons import Perceptrons
from lso_bench.search.region import build
from lso_bench.searchers.ascent import Ascent, _unseen


def test_perceptrons_learn_each_problem_apart():
    generator = torch.Generator().manual_seed(0)
    u, y = torch.rand(2, 40, 3, generator=generator).double(), torch.zeros(2, 40).double()
    y[0], y[1] = u[0, :, 0] - u[0, :, 1], u[1, :, 2].square()
    perceptrons = Perceptrons(2, 3, generator)
    perceptrons.train(u, y, 200)
    for i in range(2):
        error = perceptrons.predictor(torch.tensor([i]))(u[i : i + 1]) - y[i]
        assert error.square().mean() < 0.02 * y[i].var()


@pytest.mark.parametrize("region", ["box:3", "ball:3"])
def test_ascents_end_where_the_prediction_is_highest(region):
    """Take a linear prediction: Adam moves each coordinate by its rate in every step, up to the region's boundary."""
    bounds, first = build(region, 2, lambda: torch.zeros(1, 2)), torch.full((1, 4, 2), 0.5).double()
    first[0, 3] += 0.1
    slope = torch.tensor([1.0, -2.0]).double()
    ends = Ascent(q=2, ascents=4, steps=5, rate=0.06)._ends(lambda u: u @ slope, first, bounds)
    moved = 5 * 0.06 / 6 * slope.sign()
    torch.testing.assert_close(ends, (first[:, :1] + moved).expand(-1, 2, -1), rtol=0, atol=1e-6)
    far = Ascent(q=1, ascents=4, steps=100, rate=0.5)._ends(lambda u: u @ slope, first, bounds)
    inside = bounds.nearest(far)
    torch.testing.assert_close(inside, far, rtol=0, atol=1e-9)
    optimum = slope.sign() if region == "box:3" else slope / slope.norm()
    torch.testing.assert_close(far, (0.5 + 0.5 * optimum).expand_as(far), rtol=0, atol=1e-6)


def test_points_that_were_scored_before_or_stand_twice_are_replaced_and_counted():
    seen = torch.tensor([[[0.1, 0.1], [0.5, 0.5]]]).double()
    points = torch.tensor([[[0.5, 0.5], [0.7, 0.7], [0.7, 0.7], [0.9, 0.1]]]).double()
    spare = torch.tensor([[[0.2, 0.2], [0.3, 0.3], [0.4, 0.4], [0.6, 0.6]]]).double()
    replaced, count = _unseen(points, seen, spare)
    assert torch.equal(replaced[0], torch.stack([spare[0, 0], points[0, 1], spare[0, 2], points[0, 3]])) and count == 2


def test_mean_of_a_process_leads_further_into_a_valley_than_sobols_sequence():
    reached = []
    for name in ("ascent:surrogate=gp,initial=10", "sobol"):
        problem = Problem(torch.full((2, 1, 4), 2.0), build("box:3", 4, lambda: torch.zeros(1, 4)))
        search, best = SEARCHERS.build(name).search(problem), torch.full((2,), -torch.inf)
        z, count = next(search), 0
        while count < 40:
            y = -(z - 0.7).square().sum(-1)
            best, count = torch.maximum(best, y.amax(1)), count + z.shape[1]
            z = search.send(y)
        reached.append(best)
    assert (reached[0] > 0.6 * reached[1]).all()
