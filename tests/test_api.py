"""The Python API: the same studies, runs and figures as the command line, as objects."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from cmaes import CMA
from nbclient import NotebookClient

import lso_bench as lb
from lso_bench.api.study import REGISTRIES
from lso_bench.errors import UnusableError, UsageError
from lso_bench.report.latex_matrix import _selection
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.ask_tell import SingleProblem
from lso_bench.search.region import build
from lso_bench.search.space import Space
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.task import TASKS
from lso_bench.testing import check_searcher
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.likelihoods import LIKELIHOODS

SOURCE = DATASETS.build("expressions")
WORD = r"[a-zA-Z_]+"
ROOT = Path(__file__).parents[1]
TINY = {"arch": "conv", "starts": ["random"], "budget": 20}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Four runs: two models, two searchers."""
    study = lb.Study(models=["vae", "nevae_se"], tasks="glyphs50", searchers=["sobol", "cmaes"], **TINY)
    return study.run(tmp_path_factory.mktemp("api") / "results", quiet=True, isolation="none")


def test_study_plans_what_the_command_line_plans():
    study = lb.Study(["vae"], ["glyphs50"], ["cmaes"], seeds=range(2), **TINY)
    grid = Grid(["vae"], ["glyphs50"], ["cmaes"], seeds=[0, 1], arch="conv")
    expected = plan(grid, Protocol(starts=("random",), budget=20))
    assert [p.spec.key for p in study.plan()] == [p.spec.key for p in expected]


def test_results_stay_where_they_are_when_the_working_folder_changes(results, tmp_path, monkeypatch):
    place = results.stores[0].folder
    monkeypatch.chdir(place.parent)
    loaded = lb.load(place.name)
    ran = lb.Study("vae", "glyphs50", "sobol", **TINY).run(place.name, quiet=True)
    monkeypatch.chdir(tmp_path)
    assert len(loaded.traces) == len(results.traces) > 0 and len(ran.traces) > 0
    assert loaded.skipped == ran.skipped == []


def test_home_folder_is_written_as_a_tilde(results, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(results.stores[0].folder.parent))
    monkeypatch.chdir(tmp_path)
    assert len(lb.load(f"~/{results.stores[0].folder.name}")) == len(results)
    assert len(lb.Study("vae", "glyphs50", "sobol", **TINY).run(f"~/{results.stores[0].folder.name}", quiet=True)) == 1
    assert not (tmp_path / "~").exists()


def test_places_in_a_list_are_answered_with_how_to_write_them(unchecked):
    with pytest.raises(UsageError, match=r"load\('a', 'b'\), got a list"):
        lb.load(["a", "b"])  # pyright: ignore[reportArgumentType]


def test_study_whose_runs_all_failed_has_empty_frames_with_their_columns(tmp_path):
    class Bad(lb.Task):
        data, differentiable = "glyphs", False

        def score(self, x):
            return x.mean()

    with pytest.warns(UserWarning, match="wanted"):
        failed = lb.Study("vae", Bad(), "sobol", **TINY).run(tmp_path / "results", quiet=True)
    assert len(failed) == 1 and len(failed.searches) == len(failed.traces) == 0
    assert {"spec.searcher", "loss", "start"} <= {*failed.searches} and {"step", "loss", "key"} <= {*failed.traces}
    assert len(failed.compare().final_loss) == 0 and {"searcher", "estimate"} <= {*failed.compare().final_loss}


def test_study_of_a_file_is_that_of_its_text(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('models = ["vae"]\ntasks = ["glyphs50"]\nsearchers = ["sobol"]\narch = "conv"\nbudget = 20\n')
    of_file = lb.Study.from_file(path).plan()
    assert [p.spec for p in of_file] == [
        p.spec for p in lb.Study("vae", "glyphs50", "sobol", arch="conv", budget=20).plan()
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 3}, "No setting of a study 'steps'"),
        ({"budget": 0}, "budget: wanted a whole number"),
        ({"seeds": [-1]}, "seeds: wanted a list of whole numbers"),
        ({"protocol": "fast"}, "No protocol 'fast'"),
        ({"override": [{"searcher": "bo"}]}, "override: wanted of each override what it changes"),
    ],
)
def test_wrong_setting_is_one_line(settings, message):
    with pytest.raises(UsageError, match=message) as error:
        lb.Study(["vae"], ["glyphs50"], **settings)
    assert "\n" not in str(error.value)


def test_runs_that_are_done_are_read_and_not_repeated(results):
    folder = results.stores[0].folder
    written = {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/*/*")}
    study = lb.Study(["vae", "nevae_se"], "glyphs50", ["sobol", "cmaes"], **TINY)
    assert len(study.run(folder, quiet=True)) == len(results) == 4
    assert written == {p: p.stat().st_mtime_ns for p in folder.glob("runs/*/*/*")}


def test_tables_have_a_row_per_run_search_and_recorded_step(results):
    assert len(results.runs) == 4 and len(results.searches) == 200
    assert set(results.searches.key) == set(results.runs.key) == set(results.traces.key)
    assert results.searches.groupby("key").loss.median().round(3).nunique() == 4


def test_loaded_results_compare_as_the_command_line_does(results, call):
    folder = results.stores[0].folder
    compared = lb.load(folder).compare()
    printed = json.loads(call("compare", folder, "--json").stdout)["measures"]
    losses = {(r["model"], r["searcher"]): r["estimate"] for r in printed if r["measure"] == "loss"}
    assert sorted(compared.final_loss.estimate) == sorted(losses.values())
    assert call("compare", folder).stdout.splitlines()[:-1] == compared.summary().splitlines()
    assert "<pre>" in compared._repr_html_()


def test_where_selects_by_value_list_and_condition(results):
    assert {r.spec.model.name for r in results.where(model="vae").records} == {"vae"}
    assert len(results.where("seed.init<1", model=["vae", "nevae_se"], searcher="cmaes")) == 2
    with pytest.raises(UsageError, match="No run has model=rae"):
        results.where(model="rae")
    with pytest.raises(UsageError, match="field 'colour'"):
        results.where(colour="red")


def test_pairs_have_difference_interval_wins_and_p(results):
    pairs = results.compare().paired(of="searcher")
    assert set(pairs.a) | set(pairs.b) == {"sobol", "cmaes"} and len(pairs) == 2
    assert ((pairs.low <= pairs.difference) & (pairs.difference <= pairs.high)).all()
    assert pairs.wins.between(0, 1).all() and pairs.p.between(0, 1).all()
    with pytest.raises(UsageError, match="No outcome 'speed'"):
        results.compare().paired(outcome="speed")


def test_comparison_of_a_single_model_says_so(results):
    compared = results.where(model="vae").compare()
    with pytest.raises(UsageError, match=r"No two models are compared here; .* by `of`"):
        compared.paired()
    with pytest.raises(UsageError, match=r"nothing for the figure 'forest': no two models are compared"):
        compared.plot("forest")
    assert len(compared.paired(of="searcher"))


def test_matrix_in_latex_has_names_label_and_every_median(results):
    text = results.compare().latex("final", "model", "searcher", {"nevae_se": "NE-VAE"}, "tab:lso", "Losses")
    lines = [line for line in text.splitlines() if "&" in line]
    assert lines[0] == r"model & cmaes & sobol \\" and {line.split(" &")[0] for line in lines[1:]} == {"NE-VAE", "vae"}
    assert r"\label{tab:lso}" in text and r"\caption{Losses}" in text and text.count(r"\begin{table}") == 1
    with pytest.raises(UsageError, match="A matrix can be made of"):
        results.compare().latex("variance", rows="model")
    with pytest.raises(UsageError, match="label of a table"):
        results.compare().latex("final", label="}\\input{x}")


def test_formula_in_a_label_or_caption_is_kept_and_the_rest_is_escaped(results):
    text = results.compare().latex(
        "final", "model", "searcher", {"vae": r"$\beta_1$-VAE & 5%"}, caption="Loss_1 of $x_1$"
    )
    assert r"$\beta_1$-VAE \& 5\%" in text and r"\caption{Loss\_1 of $x_1$}" in text
    alone = results.compare().latex("final", "model", "searcher", {"vae": "5$"})
    assert r"5\$ &" in alone


def test_label_of_what_is_not_there_is_refused(results):
    with pytest.raises(UsageError, match=r"No model, searcher, task or start 'vea'; there are .*Did you mean 'vae'"):
        results.compare().latex("final", labels={"vea": "VAE"})
    assert "NE" in results.where(model="vae").compare().latex("final", labels={"vae": "NE", "sobol": "Sobol"})


def test_matrix_whose_cells_had_several_values_is_refused(results):
    with pytest.raises(UsageError, match=r"values of several searchers; select one, as by --where searcher="):
        results.compare().latex("final", rows="model", columns="task")


@pytest.mark.parametrize(
    ("first", "second", "option"),
    [
        ("./red.py:target=0.15", "./red.py:target=0.4", ", as by --where target=0.4 (in Python: .where(target='0.4'))"),
        ("ink:target=0.1", "symmetry", ", as by --where task=symmetry (in Python: .where(task='symmetry'))"),
    ],
)
def test_option_that_selects_a_task_is_named_by_what_differs(first, second, option):
    assert _selection("task", first, second) == option


@pytest.mark.parametrize(
    "options", [{}, {"of": "searcher"}, {"kind": "curves"}, {"kind": "curves", "color": "model"}, {"kind": "ecdf"}]
)
def test_figures_are_drawn(results, options):
    figure = results.compare().plot(**options)
    assert figure.axes and all(axis.get_xlabel() for axis in figure.axes if axis.get_visible())


def test_figure_has_a_caption_and_displayed_names(results):
    figure = results.compare().plot("curves", labels={"nevae_se": r"NE-VAE ($\beta$)"}, size="column")
    assert r"NE-VAE ($\beta$)" in [axis.get_title(loc="left") for axis in figure.axes]
    assert figure.caption.startswith("Lowest loss so far, by evaluations: glyphs50")
    with pytest.raises(UsageError, match="No model, searcher, task or start 'vea'"):
        results.compare().plot(labels={"vea": "VAE"})
    with pytest.raises(UsageError, match="nothing for the figure 'collapse'"):
        results.compare().plot("collapse")


def test_curves_fall_and_end_at_the_median_lowest_loss(results):
    (axis, *_) = results.where(model="vae").compare().plot("curves").axes
    for line in axis.get_lines():
        assert (np.diff(line.get_ydata()) <= 0).all()
    best = results.where(model="vae", searcher="cmaes").searches.best.median()
    (line,) = (line for line in axis.get_lines() if line.get_label() == "cmaes")
    assert line.get_ydata()[-1] == pytest.approx(best)


def test_report_is_a_page(results, tmp_path):
    page = results.report(tmp_path / "report.html")
    assert page.read_text().startswith("<!doctype html>")


def test_what_cannot_be_read_is_warned_of(results, tmp_path):
    with pytest.raises(UnusableError, match="no results folder"):
        lb.load(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / MARKER_FILE).write_text((results.stores[0].folder / MARKER_FILE).read_text())
    with pytest.raises(UnusableError, match="No runs in"):
        lb.load(tmp_path / "empty")
    (tmp_path / "empty" / "runs" / "ab" / "stray").mkdir(parents=True)
    with pytest.warns(UserWarning, match="skipped: "), pytest.raises(UnusableError):
        lb.load(tmp_path / "empty")


def test_space_decodes_and_encodes_and_is_frozen():
    space = lb.space("vae", data="glyphs", arch="conv")
    images = space.decode(torch.zeros(2, 3, space.latent))
    assert images.shape == (2, 3, 1, 28, 28) and space.means(images[:, 0]).shape == (2, space.latent)
    assert not any(p.requires_grad for p in space.vae.parameters())
    with pytest.raises(UnusableError, match="lso-bench train"):
        lb.space("vae", data="glyphs", arch="conv", seed=77)


def test_space_of_texts_gives_and_takes_texts():
    space, texts = lb.space("vae", data="expressions"), ["x+sin(x)", "exp(x)", "1"]
    z = space.means(texts)
    samples = LIKELIHOODS.build(SOURCE.likelihood).model_input(torch.tensor(SOURCE.tokens(texts)))
    assert torch.equal(z, Space.means(space, samples)) and torch.equal(z, space.means(samples))
    decoded = space.texts(torch.stack([z, z.flip(0)]))
    tokens = space.decode(z[None]).argmax(-1)[0].numpy()
    assert decoded == [SOURCE.texts(tokens), SOURCE.texts(tokens)[::-1]]
    for wrong, message in (
        ("exp(x)", "Wanted a list of texts, got the text 'exp"),
        (["x", "y"], "data set alone: .*'y'"),
    ):
        with pytest.raises(UsageError, match=message):
            space.means(wrong)


def cma(problem: SingleProblem) -> CMA:
    return CMA(mean=problem.start, sigma=0.5, bounds=problem.bounds, seed=problem.seed)


class Batches:
    """The same optimizer, asked for a generation at once, as in `pycma`."""

    def __init__(self, problem: SingleProblem):
        self.cma = cma(problem)

    def ask(self) -> list:
        return [self.cma.ask() for _ in range(self.cma.population_size)]

    def tell(self, points: list, losses: list) -> None:
        self.cma.tell([*zip(points, losses, strict=True)])


@dataclass
class Value:
    """A candidate, as Nevergrad gives it."""

    value: np.ndarray


class Candidates:
    """Random steps from the best point, one candidate a turn."""

    def __init__(self, problem: SingleProblem):
        self.best, self.loss, self.problem = problem.start, np.inf, problem
        self.rng = np.random.default_rng(problem.seed)

    def ask(self) -> Value:
        step = 0.3 * self.rng.standard_normal(self.problem.dimension)
        return Value((self.best + step).clip(*self.problem.bounds.T))

    def tell(self, candidate: Value, loss: float) -> None:
        if loss < self.loss:
            self.best, self.loss = candidate.value, loss


class Waiting(Candidates):
    """The same, which refuses to be asked while the loss of its last candidate is awaited."""

    is_waiting = False

    def ask(self) -> Value:
        assert not self.is_waiting, "asked twice"
        self.is_waiting = True
        return super().ask()

    def tell(self, candidate: Value, loss: float) -> None:
        self.is_waiting = False
        super().tell(candidate, loss)


class Tensors(Candidates):
    """The same, with points that require a gradient."""

    def ask(self) -> torch.Tensor:
        return torch.tensor(super().ask().value, requires_grad=True)

    def tell(self, candidate: torch.Tensor, loss: float) -> None:
        super().tell(Value(candidate.detach().numpy()), loss)


@pytest.mark.parametrize("factory", [cma, Batches, Candidates, Waiting, Tensors])
def test_any_ask_and_tell_optimizer_is_a_searcher(factory):
    check_searcher(lb.AskTell(factory))


def turns(ask, problems=2, region="box:3", tell=lambda *_: None):
    """Return the points of a search, of 3 dimensions, that asks for two turns after the starts."""
    optimizer = type("Optimizer", (), {"ask": lambda self: ask(), "tell": lambda self, *a: tell(*a)})
    problem = Problem(torch.ones(problems, 1, 3), build(region, 3, lambda: torch.zeros(1, 3)))
    search = lb.AskTell(lambda problem: optimizer()).search(problem)
    next(search)
    return [search.send(torch.zeros(problems, 1)) for _ in range(2)], problem


NO_POINTS = {
    "NaN": (lambda: np.array([0, np.nan, 0]), "got nan among them"),
    "NaN alone": (lambda: np.full(3, np.nan), "got nan among them"),
    "infinite": (lambda: [0.0, -np.inf, 0.0], "got -inf among them"),
    "too long": (lambda: np.zeros(5), "got 5; mend the optimizer, or raise StopIteration"),
    "empty": (list, "got 0"),
    "nothing": (lambda: None, "got NoneType"),
    "words": (lambda: ["a", "b", "c"], "got list"),
    "a number": (lambda: np.array(1.0), "got ndarray"),
    "a dict": (lambda: {"z0": 1.0}, "got dict"),
    "points of points": (
        lambda: np.zeros((2, 1, 3)),
        r"got an array of shape \(1, 3\)|got an array of shape \(2, 1, 3\)",
    ),
}


@pytest.mark.parametrize("kind", NO_POINTS)
def test_what_is_no_point_is_refused_with_a_line(kind):
    ask, message = NO_POINTS[kind]
    with pytest.raises(ValueError, match=f"wanted 3 finite numbers from `ask`, one for each dimension, {message}"):
        turns(ask)


def test_optimizers_of_unequal_populations_are_refused_with_a_line():
    sizes = iter([2, 4])
    with pytest.raises(ValueError, match="wanted as many points from the optimizer of each problem, got 2 and 4; give"):
        turns(lambda: np.zeros((next(sizes), 3)))


def test_what_is_no_optimizer_is_refused_with_a_line():
    search = lb.AskTell(lambda problem: None).search(Problem(torch.ones(1, 1, 3), build("box:3", 3, lambda: None)))
    next(search)
    with pytest.raises(ValueError, match="wanted an optimizer with `ask` and `tell`, got NoneType; return one"):
        search.send(torch.zeros(1, 1))


@pytest.mark.parametrize(("region", "outside"), [("box:3", 4), ("box:30", 0), ("ball:9", 4), ("ball:30", 0)])
def test_points_outside_the_region_are_scored_inside_and_counted(region, outside):
    losses = []
    (first, _), problem = turns(lambda: [0.0, 9.0, 9.0], region=region, tell=lambda *a: losses.append(a))
    assert torch.equal(first, problem.region.clip(torch.tensor([[[0.0, 9.0, 9.0]]] * 2)))
    assert problem.counts == ({"outside_points": outside} if outside else {})
    assert losses == [([0.0, 9.0, 9.0], 0.0)] * 2


def test_points_of_a_problem_that_is_over_are_not_counted_again():
    problem = Problem(torch.ones(1, 1, 3), build("box:3", 3, lambda: torch.zeros(1, 3)))
    far = type("Far", (), {"ask": lambda self: np.full(3, 9.0), "tell": lambda *_: None})
    search = lb.AskTell(lambda problem: far()).search(problem)
    next(search)
    for score in (0.0, 0.0, torch.nan, torch.nan):
        search.send(torch.full((1, 1), score))
    assert problem.counts == {"outside_points": 2}


def test_optimizer_without_further_points_ends_its_problem_alone():
    answers = iter([np.zeros(3), StopIteration, np.ones(3)])

    def ask():
        if (answer := next(answers)) is StopIteration:
            raise StopIteration
        return answer

    (first, second), _ = turns(ask)
    assert first[0].tolist() == [[0, 0, 0]] and first[1].isnan().all()
    assert second[0].tolist() == [[1, 1, 1]] and second[1].isnan().all()


def test_proposals_that_are_not_finite_fail_the_run_and_early_ends_are_noted(tmp_path):
    class Ending(Candidates):
        asked = 0

        def ask(self) -> Value:
            self.asked += 1
            if self.asked > 5:
                raise StopIteration
            return super().ask()

    class Broken(Candidates):
        def ask(self) -> Value:
            return Value(self.best * np.nan)

    searchers = [lb.AskTell(Ending, name="ending"), lb.AskTell(Broken, name="broken"), "sobol"]
    with pytest.warns(UserWarning, match="failed, searcher broken: ValueError: wanted 32 finite numbers from `ask`"):
        results = lb.Study("vae", "glyphs50:instances=2", searchers, **TINY).run(tmp_path, quiet=True)
    records = {r.spec.searcher.split("@")[0]: r for r in results.records}
    assert records["broken"].status == "failed" and records["ending"].status == "ok"
    assert [(m.stopped, m.evaluations) for m in records["ending"].members] == [("finished", 6)] * 2
    assert "2 of 2 searches had no further points before their budget was spent" in "\n".join(results.compare().notes)


def test_ask_and_tell_optimizer_is_given_the_loss_of_its_start():
    problems = []
    searcher = lb.AskTell(lambda problem: problems.append(problem) or cma(problem))
    search = searcher.search(Problem(torch.ones(3, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2))))
    next(search)
    search.send(torch.tensor([[0.5], [-2.0], [torch.nan]]))
    assert [p.loss for p in problems] == [-0.5, 2.0, 0.0]


def test_searchers_are_given_the_budget(tmp_path):
    budgets = tmp_path / "budgets"

    class Noting(Candidates):
        def __init__(self, problem):
            super().__init__(problem)
            budgets.write_text(str(problem.budget))

    lb.Study("vae", "glyphs50:instances=2", lb.AskTell(Noting, name="noting"), **TINY).run(tmp_path, quiet=True)
    assert budgets.read_text() == str(TINY["budget"])


def test_optimizer_that_maximises_the_loss_is_found_out():
    class Wrong(Candidates):
        def tell(self, candidate: Value, loss: float) -> None:
            super().tell(candidate, -loss)

    with pytest.raises(AssertionError, match="direction: wanted points of higher scores"):
        check_searcher(lb.AskTell(Wrong))


def test_optimizers_that_share_the_generator_of_numpy_are_found_out():
    class Shared(Candidates):
        def ask(self) -> Value:
            return Value(self.best + 0.3 * np.random.randn(len(self.best)))

    with pytest.raises(AssertionError, match=r"problems apart: .* draws from NumPy's global generator"):
        check_searcher(lb.AskTell(Shared))


def test_cma_by_ask_and_tell_finds_what_the_built_in_one_finds(tmp_path):
    """Two searchers, one search: the built-in `cmaes` makes the same strategies, with the same seeds."""
    study = lb.Study("vae", "glyphs50", ["cmaes", lb.AskTell(cma), lb.AskTell(Batches)], **TINY)
    losses = study.run(tmp_path / "r", quiet=True).searches.groupby("spec.searcher").loss.median()
    assert len(losses) == 3 and losses.nunique() == 1


@pytest.mark.parametrize("package", ["nevergrad", "optuna"])
def test_optimizers_of_other_libraries_search(package, tmp_path):
    library = pytest.importorskip(package, reason=f"{package} is not installed")

    def nevergrad(problem: SingleProblem):
        low, high = problem.bounds.T
        parametrization = library.p.Array(init=problem.start).set_bounds(low, high)
        return library.optimizers.OnePlusOne(parametrization=parametrization, budget=20)

    def optuna(problem: SingleProblem):
        library.logging.set_verbosity(library.logging.ERROR)
        studies.append(library.create_study(sampler=library.samplers.TPESampler(seed=problem.seed)))
        return studies[-1]

    studies = []
    factory = {"nevergrad": nevergrad, "optuna": optuna}[package]
    study = lb.Study("vae", "glyphs50:instances=2", lb.AskTell(factory), **TINY)
    (record,) = study.run(tmp_path / "r", quiet=True).records
    assert record.status == "ok" and all(m.evaluations == TINY["budget"] for m in record.members)
    for asked, member in zip(studies, record.members, strict=False):  # losses, not scores; the last turn has no answer
        values = [t.value for t in asked.trials if t.value is not None]
        assert len(values) == TINY["budget"] - 2 and min(values) >= member.best - 1e-3
    assert package == "optuna" or all(m.loss < m.first_loss for m in record.members)


@dataclass(frozen=True)
class Dark(lb.Task):
    """Images with little ink."""

    weight: float = 1.0
    data: str = "glyphs"

    def score(self, x):
        return -self.weight * x.mean(dim=(-3, -2, -1))


def test_objects_are_tasks_and_stay_in_this_process(tmp_path):
    study = lb.Study("vae", [Dark(), Dark(weight=2.0)], "sobol", **TINY)
    results = study.run(tmp_path / "r", quiet=True)
    assert len(set(results.runs["spec.task"])) == 2 and set(results.runs["versions.isolation"]) == {"none"}
    assert results.runs["versions.task_sha256"].nunique() == 2
    for elsewhere in ({"isolation": "batch"}, {"jobs": 2}, {"address": "local"}):
        with pytest.raises(UsageError, match="A study with an object runs in this process, one run at a time"):
            lb.Study.from_grid(study.grid, study.protocol).run(tmp_path / "r", **elsewhere)
    page = results.report(tmp_path / "r.html").read_text()
    assert "task Dark came from Python as an object: no command names it" in page and "--task Dark@" not in page
    with pytest.raises(UsageError, match="an object of Python, which no text names"):
        TASKS.build("Dark@01234567")
    again = lb.Study("vae", [Dark()], "sobol", **TINY).run(tmp_path / "r", quiet=True)
    assert again.records[0].spec.key in set(results.runs.key)


def test_settings_of_objects_stand_in_results_and_tables(tmp_path):
    penalised = lb.AskTell(cma, name="hill", penalty="prior", penalty_weight=5.0)
    searchers = [lb.AskTell(cma, name="hill"), lb.AskTell(Candidates, name="hill"), penalised]
    results = lb.Study("vae", [Dark(), Dark(weight=2.0)], searchers, **TINY).run(tmp_path, quiet=True)
    assert sorted(t.partition(":")[2] for t in set(results.runs["spec.task"])) == ["weight=1.0", "weight=2.0"]
    assert {r.spec.searcher.partition(":")[2] for r in results.records} == {"", "penalty=prior,penalty_weight=5.0"}
    summary = results.where(weight=2).compare().summary()
    assert "hill penalty=prior" in summary and len(set(re.findall(r"hill@\w{8}", summary))) == 2
    columns = re.split("  +", results.compare().summary().splitlines()[2].strip())
    assert sorted(columns[2:]) == ["Dark weight=1.0", "Dark weight=2.0"]
    assert len(results.where(task="Dark", searcher="hill")) == 6 == 2 * len(results.where(weight=2))
    (first,) = {r.spec.searcher.partition(":")[0] for r in results.where(penalty="prior").records}
    assert len(results.where(searcher=first)) == 2


WRONG_OBJECTS = {
    "class of a task": ("tasks", Dark, "Task: .*lso_bench.Task, got the class Dark; write Dark()"),
    "function as task": ("tasks", len, "Task: .*got the function len; write a subclass with a method `score`"),
    "class of an optimizer": ("searchers", Candidates, "got the class Candidates; .* lso_bench.AskTell"),
    "function as searcher": ("searchers", cma, "got the function cma; of a function that makes an optimizer"),
    "optimizer": ("searchers", Value(np.zeros(2)), "got an object of Value; .* lso_bench.AskTell"),
    "network": ("models", torch.nn.Linear(1, 1), "Model: .*got an object of Linear; lso_bench.model"),
    "number": ("tasks", 5, "got an object of int"),
}


@pytest.mark.parametrize("kind", WRONG_OBJECTS)
def test_what_is_no_plugin_is_refused_with_what_to_do(kind):
    key, value, message = WRONG_OBJECTS[kind]
    with pytest.raises(UsageError, match=message.replace("()", r"\(\)")):
        REGISTRIES[key].named(value)


def test_numbers_of_numpy_are_settings():
    numpy = {"seeds": np.arange(2), "budget": np.int64(20), "latent": np.int32(32)}
    plain = {"seeds": [0, 1], "budget": 20, "latent": 32}
    first, second = (
        lb.Study("vae", "glyphs50", "sobol", arch="conv", check_every=np.int64(5) if s is numpy else 5, **s)
        for s in (numpy, plain)
    )
    assert (first.grid, first.protocol) == (second.grid, second.protocol)


def test_failed_runs_are_warned_of(tmp_path):
    @dataclass(frozen=True)
    class Broken(Dark):
        def score(self, x):
            raise ZeroDivisionError("as written")

    with pytest.warns(UserWarning, match="failed, task Broken: ZeroDivisionError: as written"):
        results = lb.Study("vae", Broken(), "sobol", **TINY).run(tmp_path / "r", quiet=True)
    assert results.runs.status.tolist() == ["failed"] and "as written" in results.runs.error[0]


def test_notebook_of_the_documents_runs(tmp_path):
    """Every cell runs in a fresh kernel, and shows what is stored beside it."""
    notebook = nbformat.read(ROOT / "docs" / "first-hour.ipynb", as_version=4)
    stored = [[o.get("data", {}).get("text/plain") for o in c.get("outputs", [])] for c in notebook.cells]
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [[o.get("data", {}).get("text/plain") for o in c.get("outputs", [])] for c in notebook.cells]
    assert [len(c) for c in shown] == [len(c) for c in stored]
    for old, new in ((a, b) for pair in zip(stored, shown, strict=True) for a, b in zip(*pair, strict=True)):
        assert re.findall(WORD, old or "") == re.findall(WORD, new or "")  # numbers differ between processors


def test_searcher_of_an_object_that_never_yields_is_refused_at_once():
    class Forgetful(lb.Searcher):
        def search(self, problem):
            problem.starts.clone()

    with pytest.raises(UsageError, match=r"Forgetful.search never yields; write `scores = yield points`"):
        lb.Study("vae", "glyphs50", Forgetful(), arch="conv")


def test_objects_that_hold_other_values_have_other_names():
    def make(sigma):
        return lb.AskTell(lambda p: CMA(mean=p.start, sigma=sigma, bounds=p.bounds, seed=p.seed), name="mine")

    @dataclass(frozen=True)
    class Held(lb.Task):
        """Distance to an image that it holds."""

        image: torch.Tensor
        data: str = "glyphs"

        def score(self, x):
            return -(x - self.image).square().sum(dim=(-3, -2, -1))

    names = [SEARCHERS.add(make(s)) for s in (0.5, 2.0, 0.5)] + [
        TASKS.add(Held(torch.ones(28, 28) * v)) for v in (0, 1)
    ]
    assert names[0] == names[2] != names[1] and names[3] != names[4] and names[0].startswith("mine@")
    with pytest.raises(UsageError, match="no value that another process could compare"):
        SEARCHERS.add(lb.AskTell(threading.Lock().acquire))


FACTOR = 1.0


@dataclass(frozen=True)
class Weighted(Dark):
    """Images with little ink, in another unit."""

    def score(self, x):
        return FACTOR * super().score(x)


def test_object_whose_methods_use_another_value_runs_anew(tmp_path, monkeypatch):
    def study():
        return lb.Study("vae", Weighted(), "sobol", **TINY)

    first = study()
    before = first.run(tmp_path, quiet=True)
    monkeypatch.setattr(f"{__name__}.FACTOR", 2.0)
    with pytest.warns(UserWarning, match="has changed since the study was made"):
        assert len(first.run(tmp_path, quiet=True)) == 1  # all there; nothing is run
    with pytest.raises(UsageError, match=r"Task 'Weighted@\w{8}.*' has changed since the study was made"):
        first.run(tmp_path / "elsewhere", quiet=True)
    after = study().run(tmp_path, quiet=True)
    assert after.searches.best.tolist() == [2 * loss for loss in before.searches.best]


@pytest.mark.parametrize("rule", ["searcher=cmaes", ["searcher=cmaes"], [{"searcher": "cmaes"}]])
def test_rules_of_a_study_are_tables_or_texts(rule):
    (one,) = lb.Study("vae", "glyphs50", ["sobol", "cmaes"], exclude=rule, **TINY).plan()
    assert one.spec.searcher_name == "sobol"


@pytest.mark.parametrize("rule", [["sarcher=cmaes"], "searcher"])
def test_rule_that_says_nothing_is_refused(rule):
    with pytest.raises(UsageError, match="exclude: wanted"):
        lb.Study("vae", "glyphs50", ["sobol", "cmaes"], exclude=rule, **TINY)


def test_settings_may_be_single_values():
    one = lb.Study("vae", "glyphs50", ["sobol", "cmaes"], seeds=3, exclude={"searcher": "cmaes"}, **TINY).plan()
    assert [(p.spec.searcher_name, p.spec.seeds.init) for p in one] == [("sobol", 3)]


def test_pairs_of_searchers_keep_their_budgets_apart(tmp_path):
    for budget in (10, 20):
        lb.Study("vae", "glyphs50", ["sobol", "random"], **TINY | {"budget": budget}).run(tmp_path, quiet=True)
    pairs = lb.load(tmp_path).compare().paired(of="searcher")
    assert [a.split()[-2:] == b.split()[-2:] for a, b in zip(pairs.a, pairs.b, strict=True)] == [True, True]
    assert len(set(pairs.a) | set(pairs.b)) == 4


def test_script_that_starts_a_study_while_it_is_imported_is_refused_with_advice(tmp_path):
    script = tmp_path / "script.py"
    study = 'lb.Study("vae", "glyphs50", "sobol", arch="conv", budget=1, starts=["random"])'
    script.write_text(f"import lso_bench as lb\n{study}.run({str(tmp_path / 'results')!r}, quiet=True, jobs=1)\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and 'below `if __name__ == "__main__":`' in done.stderr.splitlines()[-1]
