"""Searchers where scores or spaces leave them little: equal, invalid or repeated ones, and too many dimensions."""

import pytest
import torch
from torch.quasirandom import SobolEngine

from lso_bench.errors import UsageError
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.region import Region, build
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.testing.linear_model import example_space

CHEAP = [
    "bo:initial=3,q=2,raw=8,restarts=1,fit_steps=2,polish_steps=3",
    "bo:initial=3,q=2,raw=8,restarts=1,fit_steps=2,polish_steps=3,kernel=matern",
    "bo:initial=3,q=2,raw=8,restarts=1,fit_steps=2,polish_steps=3,kernel=linear",
    "turbo:initial=3,q=2,candidates=20,fit_steps=2",
    "turbo:initial=3,q=2,candidates=20,fit_steps=2,kernel=linear",
    "baxus:initial=3,q=2,candidates=20,fit_steps=5",
    "ascent:initial=3,q=2,ascents=8,training=5",
    "ascent:initial=3,q=2,ascents=8,training=5,surrogate=gp",
    "cowboys:initial=3,q=2,chains=2,steps=3",
    "latent_ga:population=4",
    "cmaes",
    "hill_climbing",
]
INVALID = -6.909  # score of an invalid text of the task `expression`
SCORES = {
    "all the same": lambda z: torch.zeros(z.shape[:2]),
    "all invalid": lambda z: torch.full(z.shape[:2], INVALID),
    "all huge": lambda z: torch.full(z.shape[:2], 1e30),
    "all but one invalid": lambda z: torch.where(z[..., 0] > 2.5, 0.0, INVALID),
    "two values": lambda z: (z[..., 0] > 0).float(),
}


@pytest.mark.parametrize("scores", SCORES)
@pytest.mark.parametrize("name", CHEAP)
def test_search_goes_on_inside_its_region(name, scores):
    starts, box = torch.zeros(2, 2, 3), build("box:3", 3, lambda: torch.zeros(1, 3))  # the starts are one point
    problem = Problem(starts, box, space=example_space(3))
    search = SEARCHERS.build(name).search(problem)
    z = next(search)
    for _ in range(4):
        z = search.send(SCORES[scores](z))
        assert z.isfinite().all() and z.abs().max() <= 3


@pytest.mark.parametrize("name", CHEAP[:9])
def test_points_seen_twice_do_no_harm(name):
    """Take a region so small that all points asked for are the same."""
    tiny = Region(torch.full((3,), -1e-9), torch.full((3,), 1e-9))
    problem = Problem(torch.zeros(2, 4, 3), tiny, space=example_space(3))
    search = SEARCHERS.build(name).search(problem)
    z = next(search)
    for _ in range(4):
        z = search.send(z.sum(-1) + 1)
        assert z.isfinite().all()


def test_process_that_repeats_itself_asks_for_sobol_points_and_counts_them():
    problem = Problem(torch.zeros(2, 1, 3), Region(torch.zeros(3), torch.full((3,), 1e-30)))
    search = SEARCHERS.build("ascent:initial=3,q=2,ascents=8,training=5,rate=1").search(problem)
    z = next(search)
    for _ in range(3):
        z = search.send(1e30 * z.sum(-1))  # ends at the corner of the highest scores
    assert problem.counts["fallbacks"] > 0


@pytest.mark.parametrize("name", ["sobol", "bo", "turbo", "baxus", "ascent"])
def test_more_dimensions_than_a_sobol_sequence_has_are_refused_with_what_to_do(name):
    d = SobolEngine.MAXDIM + 1
    problem = Problem(torch.zeros(1, 1, d), build("box:3", d, lambda: torch.zeros(1, d)))
    search = SEARCHERS.build(name).search(problem)
    with pytest.raises(UsageError, match=r"at most 21,201 dimensions, and the search has 21,202; choose fewer"):
        search.send(next(search).sum(-1))


@pytest.mark.parametrize(
    ("name", "design"), [("latent_ga", 20), ("latent_ga:population=50", 50), ("cmaes:population=40", 40)]
)
def test_population_larger_than_the_budget_is_refused_before_a_run(checkpoint, name, design):
    grid = Grid(["vae"], ["glyphs50:instances=3"], searchers=[name], latent=4)
    with pytest.raises(UsageError, match=f"begins with {design} evaluations"):
        plan(grid, Protocol(budget=design - 1))
