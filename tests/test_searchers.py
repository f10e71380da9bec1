"""The contract of a searcher, run over every one that is found."""

import os
from dataclasses import fields
from importlib.util import find_spec

import pytest
import torch
from gpytorch.settings import cholesky_jitter
from linear_operator.utils.errors import NotPSDError

from lso_bench import plugins
from lso_bench.region import build
from lso_bench.search import Problem, saasbo

REGIONS = ("box:0.3", "ball:0.3", "quantiles:0.1")


def search(text, steps, region="box:3", seed=0, spoilt=None, d=4, k=3):
    """What a searcher yields and is told on k valleys: [(z, y)]; the problem `spoilt` leaves after three steps."""
    torch.manual_seed(7)
    peaks, slopes = torch.rand(k, 1, d) - 0.5, torch.linspace(0.5, 3, d)
    draws = 0.1 * torch.randn(200, d, generator=torch.Generator().manual_seed(0))
    where = build(region, d, lambda: draws)
    problem = Problem(where.clip(torch.full((k, 1, d), 0.9)), where, seed)
    generator, y, seen = plugins.build("searcher", text).search(problem), None, []
    torch.manual_seed(seed)
    for step in range(steps):
        try:
            z = next(generator) if y is None else generator.send(y)
        except StopIteration:
            break
        off = z - peaks
        loss = (slopes * off.square()).sum(-1) + (off[..., :1] * off[..., 1:2]).sum(-1) + (off**4).sum(-1)
        if z.requires_grad and not z.isnan().all():
            z.grad = None
            loss.nansum().backward()
        y = -loss.detach()
        if spoilt is not None and step > 2:
            y[spoilt] = torch.nan
        seen.append((z.detach().clone(), y))
    generator.close()
    return seen


def steps_of(text):
    """Enough for a searcher to use what it was told, and few where a step is dear."""
    return {"bo": 6, "turbo": 8, "saasbo": 3}.get(text.partition(":")[0], 30)


WITHOUT = not os.environ.get("LSO_BENCH_SLOW") or find_spec("numpyro") is None
SLOW = {"saasbo": pytest.mark.skipif(WITHOUT, reason="takes an hour: LSO_BENCH_SLOW=1, with the extra saasbo")}


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW.get(n, ())) for n in plugins.names("searcher")])
class TestEverySearcher:
    """What every searcher promises."""

    def test_begins_where_it_is_told(self, name):
        assert torch.equal(search(name, 1)[0][0], torch.full((3, 1, 4), 0.9))

    def test_yields_points_of_every_problem(self, name):
        for z, _ in search(name, 5):
            assert z.shape[0] == 3 and z.shape[2] == 4 and z.isfinite().any()

    def test_finds_something_better(self, name):
        seen = search(name, steps_of(name))
        best = torch.cat([y for _, y in seen], 1).nan_to_num(-torch.inf).amax(1)
        assert (best > seen[0][1].amax(1) + 0.1).all()

    @pytest.mark.parametrize("region", REGIONS)
    def test_stays_in_the_region(self, name, region):
        draws = 0.1 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        where = build(region, 4, lambda: draws)
        for z, _ in search(name, min(20, steps_of(name)), region):
            torch.testing.assert_close(where.clip(z), z, rtol=0, atol=1e-6, equal_nan=True)

    def test_same_seed_same_points(self, name):
        a, b = (search(name, 6) for _ in range(2))
        assert all(torch.equal(x[0].nan_to_num(), y[0].nan_to_num()) for x, y in zip(a, b, strict=True))

    def test_problem_that_left_does_not_change_the_others(self, name):
        a, b = search(name, 7), search(name, 7, spoilt=1)
        for (x, _), (y, _) in zip(a, b, strict=True):
            torch.testing.assert_close(x[[0, 2]], y[[0, 2]], rtol=1e-3, atol=1e-3, equal_nan=True)

    def test_says_how_many_evaluations_do_not_depend_on_scores(self, name):
        searcher = plugins.build("searcher", name)
        assert 1 <= searcher.design(4) <= searcher.design(64) <= 200

    def test_every_setting_changes_something(self, name):
        searcher = plugins.build("searcher", name)
        plain = torch.cat([z.flatten() for z, _ in search(name, steps_of(name))])
        for setting in (f.name for f in fields(searcher)):
            value = OTHERWISE.get((name, setting)) or other(getattr(searcher, setting))
            changed = torch.cat([z.flatten() for z, _ in search(f"{name}:{setting}={value}", steps_of(name))])
            assert plain.shape != changed.shape or not torch.equal(plain.nan_to_num(), changed.nan_to_num()), setting

    def test_says_what_it_is(self, name):
        assert len(plugins.names("searcher")[name]) > 20


FEW_DRAWS = "saasbo:initial=4,warmup=4,samples=4,thinning=2,raw=16,restarts=1"
needs_numpyro = pytest.mark.skipif(find_spec("numpyro") is None, reason="needs the extra saasbo, for NumPyro")


def fifth_point(problem, score):
    """What `FEW_DRAWS` asks for after its starts and first Sobol points."""
    search = plugins.build("searcher", FEW_DRAWS).search(problem)
    first = score(next(search))
    return search.send(score(search.send(first)))


def two_problems():
    return Problem(torch.zeros(2, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2)))


@needs_numpyro
def test_saasbo_asks_for_a_point_of_each_problem_by_its_own_scores():
    problem, peaks = two_problems(), torch.tensor([[[3.0, 3.0]], [[-3.0, -3.0]]])
    z = fifth_point(problem, lambda z: -(z - peaks).square().sum(-1))
    assert z.shape == (2, 1, 2) and z.abs().max() <= 3 and ((z - peaks).norm(dim=-1) < 4).all()
    assert problem.counts == {"fallbacks": 0} and problem.clock.seconds["fit"] > 0


@needs_numpyro
def test_saasbo_goes_on_where_scores_cannot_be_standardised():
    problem = two_problems()
    z = fifth_point(problem, lambda z: torch.full(z.shape[:2], 1.5e308, dtype=torch.double))  # their sum is infinite
    assert torch.equal(z[0], z[1]) and z.isfinite().all() and problem.counts == {"fallbacks": 2}


def test_saasbo_tries_again_with_more_jitter_and_then_asks_for_a_sobol_point(monkeypatch):
    tried = []

    def hopeless(self, problem, u, y, seed):
        tried.append((seed, cholesky_jitter.value(torch.float64)))
        raise NotPSDError("not positive definite")

    monkeypatch.setattr(saasbo, "find_spec", lambda name: name)  # the packages are not asked for anything here
    monkeypatch.setattr(saasbo.SAASBO, "_next", hopeless)
    problem, before = two_problems(), cholesky_jitter.value(torch.float64)
    z = fifth_point(problem, lambda z: z.sum(-1) / torch.tensor([[1.0], [torch.nan]]))  # the second has left
    assert torch.equal(z[0], z[1]) and z.isfinite().all()
    assert [seed for seed, _ in tried] == [0, 1] and before == tried[0][1] < tried[1][1]
    assert problem.counts == {"fallbacks": 1} and cholesky_jitter.value(torch.float64) == before


OTHERWISE: dict[tuple[str, str], object] = {
    ("bo", "q"): 2,
    ("bo", "fit_steps"): 1,
    ("bo", "polish_steps"): 1,
    ("cmaes", "population"): 6,
    ("lbfgs", "memory"): 1,
    ("lbfgs", "ftol"): 0.1,
    ("lbfgs", "gtol"): 0.5,
}


def other(value):
    """A setting of the same kind that is not `value`."""
    return (not value) if isinstance(value, bool) else value + 3 if isinstance(value, int) else value / 2
