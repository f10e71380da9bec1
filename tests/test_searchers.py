"""The contract of a searcher, run over every one that is found; and every way to break it is named."""

import os
import re
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from examples import SHRINKING
from gpytorch.settings import cholesky_jitter
from linear_operator.utils.errors import NotPSDError

from lso_bench.errors import UsageError
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.region import build
from lso_bench.searchers import saasbo
from lso_bench.testing import check_searcher, examine_searcher

WITHOUT = not os.environ.get("LSO_BENCH_SLOW") or find_spec("numpyro") is None
SLOW = {"saasbo": pytest.mark.skipif(WITHOUT, reason="takes an hour: LSO_BENCH_SLOW=1, with the extra saasbo")}


needs_numpyro = pytest.mark.skipif(find_spec("numpyro") is None, reason="needs the extra saasbo, for NumPyro")
STEPS = {
    "ascent": 6,
    "baxus": 10,
    "bo": 5,
    "cowboys": 7,
    "turbo": 7,
    "saasbo": 3,
}  # enough to use scores, where a step is dear
CHEAPER = {
    "ascent": "ascent:initial=5,training=10,ascents=8",
    "baxus": "baxus:initial=2,candidates=20,fit_steps=4",
    "bo": "bo:raw=8,restarts=1,fit_steps=2,polish_steps=5",
    "cowboys": "cowboys:initial=5,q=5,chains=5,steps=10",
    "turbo": "turbo:fit_steps=2",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW.get(n, ())) for n in SEARCHERS.names()])
def test_every_searcher_keeps_its_promises(name):
    check_searcher(CHEAPER.get(name, name), STEPS.get(name, 30))


STEP = "problem.region.clip(best + self.sigma / step**0.5 * torch.randn_like(best))"
BESIDE = "CLOCK, MASK = torch.Generator(), torch.tensor([1.0, 1.0, 1.0, 0.0])"
BROKEN = {  # how, in the example: what is written instead, what is said, and of which promises
    "shape": (
        STEP,
        f"{STEP}[:, 0]",
        r"in step 1: wanted points of shape \(3, n, 4\) .* got \(3, 4\) and torch.float32",
        {"points"},
    ),
    "no tensor": (STEP, "None", "in step 1: .* got None", {"points"}),
    "whole numbers": (STEP, f"{STEP}.long()", "and torch.int64", {"points"}),
    "double": (
        STEP,
        f"{STEP}.double()",
        r"got \(3, 1, 4\) and torch.float64; end it in \.to\(problem\.starts\)",
        {"points"},
    ),
    "no points": (STEP, f"{STEP}[:, :0]", r"got \(3, 0, 4\)", {"points"}),
    "raises later": (STEP, f"{STEP} / (step < 9 or [])", "got TypeError: .* in step 9", {"points"}),
    "infinite later": (STEP, f"{STEP} / (step < 9)", "in step 9: wanted finite points, got one with -?inf", {"points"}),
    "asks for nothing": ("best = problem.starts", "return\n        best = problem.starts", "got none", {"points"}),
    "not from the starts": (
        "(yield problem.starts)",
        "(yield 0.99 * problem.starts)",
        "yield problem.starts",
        {"starts"},
    ),
    "only the first start": ("(yield problem.starts)", "(yield best)", "the 3 starts of each problem", {"starts"}),
    "downhill": (
        "y > highest)[..., None], z, best), torch.maximum",
        "y < highest)[..., None], z, best), torch.minimum",
        "rose by .* scores are to be maximised",
        {"better", "direction"},
    ),
    "one dimension left out": (
        STEP,
        STEP.replace("randn_like(best)", "randn_like(best) * MASK"),
        "one value in dimension 3 of 4",
        {"dimensions"},
    ),
    "a fixed number of steps": ("count(1)", "range(1, 12)", "an end after 12 steps whatever the scores", {"going on"}),
    "keeps a graph": (STEP, f"{STEP}.requires_grad_() * 1.0", "points without a graph", {"points"}),
    "outside": (
        STEP,
        "best + self.sigma / step**0.5 * torch.randn_like(best)",
        "outside; yield problem.region.clip",
        {"region"},
    ),
    "by the clock": (
        STEP,
        STEP.replace("randn_like(best)", "randn(best.shape, generator=CLOCK)"),
        "the same points from the same seed",
        {"seed", "problems apart"},
    ),
    "a seed of its own": (
        "best = problem.starts",
        "torch.manual_seed(0)\n        best = problem.starts",
        "other points from another seed",
        {"seed"},
    ),
    "a generator of its own": (
        STEP,
        STEP.replace("randn_like(best)", "randn(best.shape, generator=torch.Generator().manual_seed(step))"),
        "other points from another seed",
        {"seed"},
    ),
    "a generator of NumPy of its own": (
        STEP,
        STEP.replace(
            "torch.randn_like(best)",
            "torch.from_numpy(__import__('numpy').random.default_rng(step).normal(size=best.shape)).float()",
        ),
        "other points from another seed",
        {"seed"},
    ),
    "Python's seed of its own": (
        STEP,
        STEP.replace("torch.randn_like(best)", "(__import__('random').seed(step) or __import__('random').gauss(0, 1))"),
        "other points from another seed",
        {"seed"},
    ),
    "by the scores of the first": (
        "(y > highest)[..., None]",
        "(y > highest)[:1, :, None]",
        "whatever becomes of another, got others after one had other scores",
        {"problems apart"},
    ),
    "scores of the turn before": (
        "y = yield z",
        "late, y = (yield z), highest if step == 1 else late",
        r"got no better ones from 12 seeds \(t = .*those of a turn are of its own points",
        {"direction"},
    ),
    "better than nought": (
        "highest = (yield problem.starts)[:, :1]",
        "highest = 0 * (yield problem.starts)[:, :1]",
        "got the same as where all scores are 0",
        {"direction"},
    ),
    "NaN of a spread": (
        "y = yield z",
        "y = yield z * (1.0 if step < 2 else (y / y)[..., None])",
        "got none after 2 steps where all scores are the same",
        {"going on"},
    ),
    "divides by a spread": (
        "y = yield z",
        "y = yield z\n            assert y.isnan().any() or y.std() > 0",
        "got AssertionError",
        {"going on"},
    ),
    "ends for all": (
        "y = yield z",
        "y = yield z\n            if y.isnan().any():\n                return",
        "none after one had NaN",
        {"going on", "problems apart"},
    ),
    "over problems": (
        "y = yield z",
        "y = yield z\n            y = y - y.nanmean() * (y.isnan().any())",
        "whatever becomes of another",
        {"problems apart"},
    ),
    "design": (
        "    def search",
        "    def design(self, d):\n        return 0\n\n    def search",
        "got 0 in 4",
        {"design"},
    ),
    "unused": (
        "    sigma",
        "    rho: float = 0.5\n    sigma",
        "changes something within 30 steps, got rho",
        {"settings"},
    ),
    "the signs of scores alone": (
        "best, highest = torch.where((y > highest)[..., None], z, best), torch.maximum(y, highest)",
        "best = problem.region.clip(best * (1 + 0.1 * y.sign()[..., None]))",
        "points that depend on the penalty, which lowers scores",
        {"penalty"},
    ),
    "silent": (
        '    """A normal step from the best point so far, its size falling as 1 / sqrt(step)."""\n',
        "",
        "docstring of the class",
        {"description"},
    ),
    "no leaf": ("    sigma", "    needs_gradient = True\n    sigma", "leaves and require a gradient", {"points"}),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_promise_is_named_and_no_other(tmp_path, how):
    old, new, says, promises = BROKEN[how]
    assert SHRINKING.count(old) == 1
    text = SHRINKING.replace(old, new).replace("@dataclass", f"{BESIDE}\n\n\n@dataclass")
    (tmp_path / "bad.py").write_text(text)
    missing = {f.promise: f.missing for f in examine_searcher(tmp_path / "bad.py") if f.state == "missing"}
    assert missing.keys() == promises
    assert any(re.search(says, m) for m in missing.values()), missing


NEGATED = """from dataclasses import dataclass

from lso_bench.searchers.{module} import {name}


@dataclass(frozen=True)
class Negated({name}):
    \"\"\"Is told minus the scores, as a minimiser that is told the scores.\"\"\"

    def search(self, problem):
        asking = {name}.search(self, problem)
        z = next(asking)
        while True:
            z = asking.send(-(yield z))
"""


UPHILL = """from dataclasses import dataclass

from lso_bench.searchers.adam import Adam


@dataclass(frozen=True)
class Uphill(Adam):
    \"\"\"Steps along the gradient of the loss, as one that takes it for the gradient of the score.\"\"\"

    def search(self, problem):
        asking = Adam.search(self, problem)
        z = next(asking)
        while True:
            y = yield z
            if z.grad is not None:
                z.grad.neg_()
            z = asking.send(y)
"""


def test_gradient_that_is_taken_the_wrong_way_round_is_told_so(tmp_path):
    (tmp_path / "uphill.py").write_text(UPHILL)
    missing = {f.promise: f.missing for f in examine_searcher(tmp_path / "uphill.py") if f.state == "missing"}
    assert missing.keys() == {"direction", "better"}
    assert all("z.grad is the gradient of the loss, so step against it" in m for m in missing.values())


def test_what_is_said_of_the_direction_is_what_was_seen():
    says = {n: {f.promise: f.says for f in examine_searcher(n)}["direction"] for n in ("sobol", "cmaes")}
    assert says == {"sobol": "asks for points without regard to scores", "cmaes": "asks for points of higher scores"}


@pytest.mark.parametrize(("module", "name"), [("cmaes", "CMAES"), ("hill_climbing", "HillClimbing")])
def test_searcher_that_takes_scores_the_wrong_way_round_is_found(tmp_path, module, name):
    (tmp_path / "negated.py").write_text(NEGATED.format(module=module, name=name))
    missing = {f.promise: f.missing for f in examine_searcher(tmp_path / "negated.py") if f.state == "missing"}
    assert "a minimiser is told minus the score" in missing["direction"]
    assert missing.keys() <= {"direction", "better"}


@pytest.mark.parametrize("how", ["ends for all", "over problems"])
def test_broken_promise_is_seen_in_few_steps_too(tmp_path, how):
    old, new, says, _ = BROKEN[how]
    (tmp_path / "bad.py").write_text(SHRINKING.replace(old, new))
    assert any(re.search(says, f.missing) for f in examine_searcher(tmp_path / "bad.py", 4))


def test_setting_that_no_record_can_hold_is_told(tmp_path):
    (tmp_path / "bad.py").write_text(
        SHRINKING.replace("sigma: float = 1.0", "sizes: tuple = (1.0, 0.5)").replace("self.sigma", "1.0")
    )
    (missing,) = [f.missing for f in examine_searcher(tmp_path / "bad.py") if f.state == "missing"]
    assert "settings that are text, numbers, true or false, got sizes" in missing


def test_example_of_the_guide_keeps_every_promise(tmp_path):
    (tmp_path / "shrinking.py").write_text(SHRINKING)
    check_searcher(tmp_path / "shrinking.py")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("adam:lr=0", "lr: wanted more than 0, got 0"),
        ("adam:lr=nan", "got nan"),
        ("adam:lr=inf", "got inf"),
        ("adam:beta2=1", "wanted less than 1"),
        ("adam:beta1=-0.1", "beta1: wanted 0 or more"),
        ("lbfgs:memory=0", "memory: wanted 1 or more"),
        ("lbfgs:gtol=-1", "gtol: wanted 0 or more"),
        ("sobol:batch=0", "batch: wanted 1 or more"),
        ("random:batch=0", "batch: wanted 1 or more"),
        ("hill_climbing:sigma=0", "sigma: wanted more than 0"),
        ("hill_climbing:growth=0.5", "growth: wanted 1 or more"),
        ("cmaes:sigma=0", "sigma: wanted more than 0"),
        ("cmaes:population=3", "population: wanted 0 or at least 4"),
        ("bo:initial=1", "initial: wanted 2 or more"),
        ("bo:q=0", "q: wanted 1 or more"),
        ("turbo:candidates=4", "candidates: wanted 5 or more"),
        ("bo:kernel=cubic", "kernel is one of 'rbf', 'matern', 'linear', not 'cubic'"),
        ("latent_ga:population=1", "population: wanted 2 or more"),
        ("latent_ga:rate=1.5", "rate: wanted 1 or less"),
        ("baxus:bins=0", "bins: wanted 1 or more"),
        ("ascent:ascents=4", "ascents: wanted 5 or more"),
        ("sobol:batch=10001", "batch: wanted 10000 or less, got 10001"),
        ("random:batch=1000000000", "batch: wanted 10000 or less"),
        ("bo:raw=100000000", "raw: wanted 100000 or less, got 100000000"),
        ("bo:q=1000000", "q: wanted 1000 or less"),
        ("bo:restarts=1001", "restarts: wanted 1000 or less"),
        ("turbo:candidates=1000000000", "candidates: wanted 100000 or less"),
        ("turbo:q=1001", "q: wanted 1000 or less"),
        ("lbfgs:memory=1000000000", "memory: wanted 1000 or less"),
        ("hill_climbing:growth=1e300", "growth: wanted 100 or less"),
        ("hill_climbing:sigma=1e30", "sigma: wanted 100000 or less"),
        ("cmaes:sigma=1e30", "sigma: wanted 100000 or less"),
        ("adam:lr=1e6", "lr: wanted 100000 or less, got 1000000.0"),
        pytest.param("saasbo:samples=15", "samples: wanted 16 or more", marks=needs_numpyro),
    ],
)
def test_setting_that_cannot_be_is_refused_before_a_run(text, says):
    with pytest.raises(UsageError, match=says):
        SEARCHERS.build(text)


FEW_DRAWS = "saasbo:initial=4,warmup=4,samples=4,thinning=2,raw=16,restarts=1"


def fifth_point(problem, score):
    """Point that `FEW_DRAWS` asks for after its starts and first Sobol points."""
    search = SEARCHERS.build(FEW_DRAWS).search(problem)
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


def asked(name, problem, score, budget):
    """The codes that a search asks for up to its budget, and their scores: (k, n, d) and (k, n)."""
    search, z, y = SEARCHERS.build(name).search(problem), [], []
    z.append(next(search))
    while sum(points.shape[1] for points in z) < budget:
        y.append(score(z[-1]))
        z.append(search.send(y[-1]))
    y.append(score(z[-1]))
    return torch.cat(z, 1)[:, :budget], torch.cat(y, 1)[:, :budget]


BALL, INITIAL = 3.0, 12


def in_ball(seed=0, d=12):
    region = build(f"ball:{BALL}", d, lambda: torch.zeros(1, d))
    starts = torch.randn(2, 1, d, generator=torch.Generator().manual_seed(seed))
    return Problem(region.clip(starts), region, seed)


def valley(z):
    return -(z - 0.4).square().sum(-1)  # its best is well inside


CHEAP = "raw=16,restarts=1,fit_steps=15,polish_steps=15"


@pytest.mark.parametrize(("name", "budget"), [(f"bo:{CHEAP},", 40), ("turbo:", 60)], ids=["bo", "turbo"])
def test_optimum_inside_a_ball_is_approached_from_inside(name, budget):
    z, y = asked(f"{name}initial={INITIAL}", in_ball(), valley, budget)
    even = asked("sobol:batch=1", in_ball(), valley, budget)[1]
    assert (y.amax(1) > 0.5 * even.amax(1)).all() and (y.amax(1) > 0.5 * y[:, :INITIAL].amax(1)).all()
    length = z.norm(dim=-1)
    assert length.max() <= BALL + 1e-5 and (length[:, INITIAL:] > 0.999 * BALL).float().mean() < 0.5


@pytest.mark.parametrize("name", [f"bo:q=2,initial=4,{CHEAP}", "turbo:q=2,initial=4,candidates=50"])
def test_optimum_beyond_a_ball_is_approached_on_its_sphere(name):
    z, y = asked(name, in_ball(d=4), lambda z: -(z - 3).square().sum(-1), 40)
    best = 4 * (3 - BALL / 2) ** 2  # at 1.5 in each dimension
    assert (z.norm(dim=-1) <= BALL + 1e-5).all() and (-y.amax(1) < 1.2 * best).all()


def test_cmaes_goes_on_where_a_strategy_comes_to_rest_at_the_bounds():
    rng = torch.Generator().manual_seed(0)
    slope, starts = 5 * torch.randn(3, generator=rng), torch.randn(5, 1, 3, generator=torch.Generator().manual_seed(0))
    problem = Problem(starts, build("box:3", 3, lambda: torch.zeros(1, 3)))
    z, _ = asked("cmaes", problem, lambda z: -(z * slope).sum(-1), 1500)
    assert z.shape == (5, 1500, 3) and z.abs().max() <= 3


class Counting(np.random.RandomState):
    """Counts the points that are drawn."""

    drawn = 0

    def randn(self, *size):
        Counting.drawn += 1
        return super().randn(*size)


@pytest.mark.parametrize(("d", "most"), [(64, 101), (128, 13), (256, 2), (512, 2)])
def test_cmaes_draws_a_point_seldom_again_where_a_draw_is_dear(monkeypatch, d, most):
    """The package takes d^3 operations a draw, and in such a box nearly all draws lie outside."""
    monkeypatch.setattr(np.random, "RandomState", Counting)
    problem = Problem(torch.ones(1, 1, d), build("box:1", d, lambda: torch.zeros(1, d)))
    search = SEARCHERS.build("cmaes:population=4").search(problem)
    next(search)
    Counting.drawn = 0
    z = search.send(torch.zeros(1, 1))
    assert 0 < Counting.drawn <= 4 * most and z.abs().max() <= 1


def test_cmaes_draws_other_points_after_each_restart():
    problem = Problem(torch.ones(1, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2)))
    z, _ = asked("cmaes:population=4", problem, lambda z: -z.square().sum(-1), 1601)
    generations = z[0, 1:].unflatten(0, (-1, 4))
    width = generations.std(1).amax(1)
    first = generations[1:][(width[:-1] < 1e-3) & (width[1:] > 0.05)]  # after each restart, around the same mean
    assert len(first) >= 3
    assert all((a - b).abs().max() > 0.01 for i, a in enumerate(first) for b in first[:i])
