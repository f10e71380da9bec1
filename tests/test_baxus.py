"""BAxUS: nested subspaces, how they grow, and what a search in few active dimensions gains."""

from itertools import pairwise

import pytest
import torch

from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.nested_subspaces import Subspaces, nested_bins
from lso_bench.search.region import build
from lso_bench.searchers.baxus import BAxUS, GrowingRegions, patience
from lso_bench.searchers.turbo import FIRST, LEAST


def box(d):
    return build("box:3", d, lambda: torch.zeros(1, d))


def subspaces(k=3, d=11, region=None, seed=0):
    return Subspaces(k, d, 3, region or box(d), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("d", "dimensions"),
    [(1, [1]), (3, [3]), (4, [1, 4]), (25, [2, 8, 25]), (32, [2, 8, 32]), (256, [1, 4, 16, 64, 256])],
)
def test_levels_have_the_authors_first_dimension_and_end_with_the_whole_space(d, dimensions):
    assert [int(bins.max()) + 1 for bins in nested_bins(d, 3)] == dimensions


@pytest.mark.parametrize("d", [5, 32, 100])
def test_bins_of_a_level_are_equal_and_each_lies_in_one_of_the_level_before(d):
    levels = nested_bins(d, 3)
    for coarse, fine in pairwise(levels):
        assert fine.bincount().max() - fine.bincount().min() <= 1 or coarse.bincount().max() > coarse.bincount().min()
        assert all(len(coarse[fine == b].unique()) == 1 for b in fine.unique())


@pytest.mark.parametrize("kind", ["box:3", "ball:3"])
def test_point_of_a_subspace_has_its_coordinates_in_this_level_and_in_all_later(kind):
    d = 11
    spaces, problems = subspaces(region=build(kind, d, lambda: torch.zeros(1, d))), torch.tensor([2, 0])
    for level, e in enumerate(spaces.dimensions):
        y = torch.rand(2, 4, e).double()
        u = spaces.lift(y, level, problems)
        torch.testing.assert_close(spaces.lower(u, level, problems), y)
        for later in range(level, len(spaces.dimensions)):
            lowered = spaces.lower(u, later, problems)
            assert lowered.min() >= -1e-9 and lowered.max() <= 1 + 1e-9
            torch.testing.assert_close(spaces.lift(lowered, later, problems), u)


def test_coordinate_of_a_subspace_moves_its_dimensions_alike_but_for_the_sign():
    spaces = subspaces(k=1, d=8)
    y = torch.full((1, 1, 2), 0.5).double()
    y[..., 0] = 0.9
    moved = spaces.lift(y, 0, torch.tensor([0]))[0, 0] - 0.5
    assert (moved != 0).sum() == 4 and moved[moved != 0].abs().allclose(torch.tensor(0.4).double())


def test_axis_of_a_subspace_fits_in_a_ball():
    d = 11
    spaces = subspaces(k=1, region=build("ball:3", d, lambda: torch.zeros(1, d)))
    for level, e in enumerate(spaces.dimensions):
        ends = torch.full((1, e, e), 0.5).double() + 0.5 * torch.eye(e).double()
        offset = spaces.lift(ends, level, torch.tensor([0])) - 0.5
        assert (offset.norm(dim=-1) <= 0.5 + 1e-9).all()


def test_failures_allowed_are_those_of_the_authors_formula():
    """With 32 dimensions: 290 * 3 * d / (2 * 63) evaluations for a level of d, by 2 * log2(0.8 * 2^7) halvings."""
    assert patience([2, 8, 32], BAxUS(budget=300, initial=10)) == [2, 5, 32]
    assert patience([2, 8, 32], BAxUS(budget=300, initial=10, q=5)) == [1, 1, 7]
    assert patience([3], BAxUS()) == [4]


def test_region_that_has_shrunk_away_goes_on_in_the_next_level_with_its_points_and_in_the_last_without():
    trust = GrowingRegions(subspaces(k=2, d=4), 2, 1, BAxUS(budget=11, initial=2))
    assert trust.spaces.dimensions == [1, 4] and trust.patience.tolist() == [1, 1]
    trust.length[0] = LEAST
    y = torch.tensor([[0.0, 2.0, 1.0], [0.0, 2.0, 3.0]]).double()
    trust.follow(y, 1, torch.tensor([True, True]))
    assert trust.level.tolist() == [1, 0] and trust.since.tolist() == [1, 1]
    assert trust.length.tolist() == [FIRST, FIRST] and trust.patience.tolist() == [4, 1]
    trust.length[0], trust.failures[0] = LEAST, 3
    trust.follow(torch.cat([y, y[:, :1]], 1), 1, torch.tensor([True, False]))
    assert trust.level.tolist() == [1, 0] and trust.since.tolist() == [4, 1]


def test_few_active_dimensions_are_searched_further_than_by_sobols_sequence():
    """A valley in 4 of 16 dimensions, whose end lies in no small subspace."""
    reached, end = [], torch.linspace(-1, 1.5, 4)
    for name in ("baxus:candidates=60,initial=4,budget=30", "sobol:batch=1"):
        problem = Problem(torch.full((2, 1, 16), 2.9), box(16))
        search = SEARCHERS.build(name).search(problem)
        z, best, count = next(search), torch.full((2,), -torch.inf), 0
        while count < 40:
            y = -(z[..., :4] - end).square().sum(-1)
            best, count = torch.maximum(best, y.amax(1)), count + z.shape[1]
            z = search.send(y)
            assert z.abs().max() <= 3
        reached.append(best)
    assert reached[0].mean() > 0.2 * reached[1].mean()
