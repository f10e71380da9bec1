"""Genetic algorithm on latents: its operators, in closed form where they have one."""

import pytest
import torch

from lso_bench.search import Problem
from lso_bench.search.region import build
from lso_bench.searchers.latent_ga import LatentGA


def generations(searcher, score, count=12, d=3, k=2):
    problem = Problem(torch.full((k, 1, d), 2.0), build("box:3", d, lambda: torch.zeros(1, d)))
    search = searcher.search(problem)
    z, seen = next(search), []
    for _ in range(count):
        seen.append((z, score(z)))
        z = search.send(seen[-1][1])
    return seen


def test_first_generation_has_the_starts_and_draws_of_the_prior():
    (start, _), (z, _), *_ = generations(LatentGA(population=1001), lambda z: -z.square().sum(-1), 2)
    assert start.shape[1] == 1 and z.shape[1] == 1000
    assert abs(z.std() - 1) < 0.05 and abs(z.mean()) < 0.05


def test_children_without_widening_and_mutation_stay_between_the_parents():
    _, first, *rest = generations(LatentGA(population=8, blend=0.0, rate=0.0), lambda z: -z.square().sum(-1))
    low, high = torch.cat([torch.full((2, 1, 3), 2.0), first[0]], 1).aminmax(dim=1, keepdim=True)
    assert all((z >= low - 1e-6).all() and (z <= high + 1e-6).all() for z, _ in rest)


@pytest.mark.parametrize("blend", [0.0, 0.5])
def test_child_is_uniform_on_the_widened_interval_of_its_parents(blend):
    """Take parents 0 and 1 of the same score, so that half of the children have two parents."""
    searcher, count = LatentGA(blend=blend, rate=0.0), 40_000
    z, y = torch.tensor([[[0.0], [1.0]]]).expand(1, 2, 1).repeat(1, count, 1), torch.zeros(1, 2 * count)
    children = searcher._children(z, y, torch.Generator().manual_seed(0))[0, :, 0]
    mixed = children[(children != 0) & (children != 1)]
    assert len(mixed) / len(children) == pytest.approx(0.5, abs=0.02)
    assert mixed.mean() == pytest.approx(0.5, abs=0.02)
    assert mixed.std() == pytest.approx((1 + 2 * blend) / 12**0.5, abs=0.02)


def test_mutation_has_its_rate_and_its_standard_deviation():
    searcher = LatentGA(sigma=0.3, rate=0.25)
    z, y = torch.zeros(1, 20_000, 2), torch.zeros(1, 20_000)
    moved = searcher._children(z, y, torch.Generator().manual_seed(0)).flatten()
    assert (moved != 0).float().mean() == pytest.approx(0.25, abs=0.01)
    assert moved[moved != 0].std() == pytest.approx(0.3, abs=0.01)


def test_best_of_parents_and_children_survive():
    z, y = torch.arange(6.0).view(1, 6, 1), torch.tensor([[3.0, 9.0, 1.0, 7.0, 5.0, 2.0]])
    kept, scores = LatentGA(population=3)._survivors(z, y)
    assert kept.flatten().tolist() == [1, 3, 4] and scores.tolist() == [[9, 7, 5]]


def test_search_gets_much_nearer_than_draws_of_the_prior():
    seen = generations(LatentGA(), lambda z: -(z - 1).square().sum(-1), 25, d=8)
    best, first = (torch.cat([y for _, y in part], 1).amax(1) for part in (seen, seen[:2]))
    assert (best > 0.25 * first).all()
