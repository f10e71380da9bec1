"""One contract kit a plugin kind, run over every plugin that is found; and the ways in."""

import os
import pickle
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from conftest import TINY, random_vae, squares

from lso_bench import plugins
from lso_bench.errors import UsageError
from lso_bench.region import build
from lso_bench.search import Problem
from lso_bench.study import named_model
from vae import zoo

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", plugins.names("task"))
class TestEveryTask:
    """What every task promises."""

    @pytest.fixture
    def task(self, name):
        return plugins.build("task", name).bind(squares(200))

    @pytest.fixture
    def x(self, task):
        return torch.rand(task.instances, 3, 1, 28, 28, generator=torch.Generator().manual_seed(1))

    def test_gives_one_finite_score_a_sample(self, task, x):
        y = task.score(x)
        assert y.shape == x.shape[:2] and y.isfinite().all()

    def test_scores_each_sample_on_its_own(self, task, x):
        torch.testing.assert_close(task.score(x)[:, 1:2], task.score(x[:, 1:2]))

    def test_scores_each_instance_on_its_own(self, task, x):
        chosen = torch.tensor([task.instances - 1, 0])
        torch.testing.assert_close(task.at(chosen).score(x[chosen]), task.score(x)[chosen])

    def test_same_sample_same_score_and_left_unchanged(self, task, x):
        before = x.clone()
        assert torch.equal(task.score(x), task.score(x)) and torch.equal(x, before)

    def test_nothing_beats_its_optimum(self, task, x):
        if task.optimum is not None:
            assert (task.score(x) <= task.optimum).all()
        if task.has_targets:
            assert (task.score(task.targets().unsqueeze(1)) == task.optimum).all()

    def test_gives_gradients_where_it_promises_them(self, task, x):
        x.requires_grad_()
        if task.differentiable:
            (gradient,) = torch.autograd.grad(task.score(x).sum(), x)
            assert gradient.isfinite().all() and (gradient != 0).any()

    def test_goes_to_a_worker_and_back(self, task, x):
        assert torch.equal(pickle.loads(pickle.dumps(task)).score(x), task.score(x))

    def test_says_what_it_is(self, name):
        assert len(plugins.names("task")[name]) > 20


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


def publish(folder, monkeypatch, code, group, entry):
    """Installs a package of one module, as pip would have it, that publishes `entry` ("name = module:Class")."""
    module = entry.split(" = ")[1].split(":")[0]
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lso_bench.{group}]\n{entry}\n")
    monkeypatch.syspath_prepend(str(folder))


INK = '''"""How much of the page a glyph inks."""

from dataclasses import dataclass

from lso_bench import Task


@dataclass(frozen=True)
class Ink(Task):
    """Minus the distance of a glyph's inked share of the page to `target`."""

    target: float = 0.15  # share of the page, in [0, 1]
    data = "glyphs"
    optimum = 0.0

    def score(self, x):
        return -(x.mean(dim=(-3, -2, -1)) - self.target).abs()
'''


def test_task_comes_in_by_a_path(tmp_path):
    (tmp_path / "ink.py").write_text(INK)
    task = plugins.build("task", f"{tmp_path}/ink.py:target=0.5")
    assert task.score(torch.ones(1, 1, 1, 28, 28)).item() == pytest.approx(-0.5)


def test_task_file_may_have_postponed_annotations(tmp_path):
    text = INK.replace("from dataclasses", "from __future__ import annotations\n\nfrom dataclasses")
    (tmp_path / "ink.py").write_text(text)
    assert plugins.resolved("task", f"{tmp_path}/ink.py").endswith("ink.py:target=0.15")


def test_records_name_every_setting():
    assert plugins.resolved("searcher", "adam:lr=0.3") == "adam:lr=0.3,beta1=0.9,beta2=0.999"
    assert plugins.resolved("searcher", "adam") == plugins.resolved("searcher", "adam:lr=0.1")
    full = plugins.resolved("task", "glyphs50")
    assert full == "glyphs50:data=glyphs,instances=50,seed=0" == plugins.resolved("task", full)


def test_edited_task_file_is_another_task(tmp_path):
    path = tmp_path / "ink.py"
    path.write_text(INK)
    before = plugins.source_hash(str(path), "adam")
    path.write_text(INK.replace("0.15", "0.2"))
    assert before != plugins.source_hash(str(path), "adam") and plugins.source_hash("glyphs50", "adam") == ""


def test_class_without_a_score_is_refused(tmp_path):
    (tmp_path / "bad.py").write_text(INK.replace("def score", "def scores"))
    with pytest.raises(UsageError, match="abstract"):
        plugins.build("task", str(tmp_path / "bad.py"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import nothing_of_the_sort", "does not import"),
        ("x = 1", "wanted one subclass"),
        ("def f(:", "does not import"),
    ],
)
def test_faulty_file_is_named_in_one_line(tmp_path, text, says):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.py.*{says}"):
        plugins.build("task", str(tmp_path / "bad.py"))


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'omniglot50'"):
        plugins.build("task", "omniglot51")


@pytest.mark.parametrize("text", ["adam:lrr=1", "adam:lr=fast"])
def test_unknown_or_wrong_setting_is_named(text):
    with pytest.raises(UsageError, match="lr"):
        plugins.build("searcher", text)


def test_missing_file_is_named():
    with pytest.raises(UsageError, match="No file"):
        plugins.build("task", "./nowhere.py")


SHRINKING = '''"""Ever smaller random steps from the best point so far."""

from dataclasses import dataclass
from itertools import count

import torch

from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class Shrinking(Searcher):
    """A normal step from the best point so far, its size falling as 1 / sqrt(step)."""

    sigma: float = 1.0  # first step size, prior standard deviations

    def search(self, problem: Problem):
        best = problem.starts[:, :1]  # (k, 1, d)
        highest = (yield problem.starts)[:, :1]
        for step in count(1):
            z = problem.region.clip(best + self.sigma / step**0.5 * torch.randn_like(best))
            y = yield z
            best, highest = torch.where((y > highest)[..., None], z, best), torch.maximum(y, highest)
'''


def test_searcher_comes_in_by_a_path(tmp_path):
    (tmp_path / "shrinking.py").write_text(SHRINKING)
    text = f"{tmp_path}/shrinking.py:sigma=0.5"
    best = torch.cat([y for _, y in search(text, 30)], 1).amax(1)
    assert (best > search(text, 1)[0][1][:, 0] + 0.1).all()
    assert plugins.source_hash(text)  # an edited searcher is another one


def test_searcher_comes_in_by_an_entry_point(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, SHRINKING, "searchers", "shrinking = shrinkings:Shrinking")
    assert plugins.build("searcher", "shrinking:sigma=0.3").sigma == 0.3 and "shrinking" in plugins.names("searcher")


def test_searcher_in_the_guide_is_the_one_tested_here():
    assert SHRINKING.strip() in (ROOT / "CONTRIBUTING.md").read_text()


SPARSE = '''"""A VAE whose codes are drawn to the axes."""

from dataclasses import dataclass

from torch.distributions import kl_divergence

from vae.objectives import Objective, Terms


@dataclass(frozen=True)
class Sparse(Objective):
    """Distortion + w(t) * rate + pull * |mu|, the sum over latents of the absolute value of the mean of q(z|x)."""

    pull: float = 0.1  # nats a unit of z

    def __call__(self, vae, x):
        q = vae.encode(x)
        distortion = -vae.decode(q.rsample(), x).log_prob(x)
        return Terms(distortion, kl_divergence(q, vae.prior(x)), self.pull * q.mean.abs().sum(-1))
'''


def test_objective_comes_in_by_a_path(tmp_path):
    (tmp_path / "sparse.py").write_text(SPARSE)
    terms = zoo.objective(f"{tmp_path}/sparse.py:pull=0.25")(random_vae(TINY), squares(3))
    assert (terms.penalty > 0).all() and (terms.rate > 0).all()


def test_objective_comes_in_by_an_entry_point(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, SPARSE, "objectives", "sparse = sparses:Sparse")
    assert "sparse" in zoo.names() and zoo.objective("sparse:pull=0.3").pull == 0.3
    assert named_model("sparse", "glyphs", "small", 8, 0).file == "glyphs-small-d8-sparse-s0.safetensors"


def test_edited_objective_is_another_model(tmp_path):
    path = tmp_path / "sparse.py"
    path.write_text(SPARSE)
    before = zoo.Model(str(path), "glyphs").file
    path.write_text(SPARSE.replace("0.1", "0.6"))
    assert before != zoo.Model(str(path), "glyphs").file and "/" not in before


def test_example_in_the_guide_is_the_one_tested_here():
    assert SPARSE.strip() in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "wanted one subclass"),
        ("def f(:", "does not import"),
        (SPARSE.replace("def __call__", "def call"), "abstract"),
        (SPARSE.replace("@dataclass(frozen=True)", ""), "dataclass"),
        (SPARSE.replace("float = 0.1", "float"), "pull"),
    ],
)
def test_faulty_objective_is_named_in_one_line(tmp_path, text, says):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.py.*{says}"):
        named_model(str(tmp_path / "bad.py"), "glyphs", "small", 8, 0)


@pytest.mark.parametrize(("arch", "says"), [("smal", "Did you mean 'small'"), ("small:gate=true", "no setting 'gate'")])
def test_unknown_architecture_or_setting_is_named(arch, says):
    with pytest.raises(UsageError, match=says):
        named_model("vae", "glyphs", arch, 8, 0)
