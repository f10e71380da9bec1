"""The Python API: the same studies, runs and figures as the command line, as objects."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from cmaes import CMA
from nbclient import NotebookClient

import lso_bench as lb
from lso_bench.errors import UnusableError, UsageError
from lso_bench.report.latex_table import _selection
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.ask_tell import SingleProblem
from lso_bench.search.region import build
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.task import TASKS
from lso_bench.testing import check_searcher

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


def test_matrix_in_latex_has_names_label_and_every_median(results):
    text = results.compare().latex("final", "model", "searcher", {"nevae_se": "NE-VAE"}, "tab:lso", "Losses")
    lines = [line for line in text.splitlines() if "&" in line]
    assert lines[0] == r"model & cmaes & sobol \\" and {line.split(" &")[0] for line in lines[1:]} == {"NE-VAE", "vae"}
    assert r"\label{tab:lso}" in text and r"\caption{Losses}" in text and text.count(r"\begin{table}") == 1
    with pytest.raises(UsageError, match="A matrix can be made of"):
        results.compare().latex("variance", rows="model")
    with pytest.raises(UsageError, match="label of a table"):
        results.compare().latex("final", label="}\\input{x}")


def test_matrix_whose_cells_had_several_values_is_refused(results):
    with pytest.raises(UsageError, match=r"values of several searchers; select one, as by --where searcher="):
        results.compare().latex("final", rows="model", columns="task")


@pytest.mark.parametrize(
    ("first", "second", "option"),
    [
        ("./red.py:target=0.15", "./red.py:target=0.4", ", as by --where target=0.4"),
        ("ink:target=0.1", "symmetry", ", as by --where task=symmetry"),
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


@pytest.mark.parametrize("factory", [cma, Batches, Candidates, Waiting])
def test_any_ask_and_tell_optimizer_is_a_searcher(factory):
    check_searcher(lb.AskTell(factory))


def test_ask_and_tell_optimizer_is_given_the_loss_of_its_start():
    problems = []
    searcher = lb.AskTell(lambda problem: problems.append(problem) or cma(problem))
    search = searcher.search(Problem(torch.ones(3, 1, 2), build("box:3", 2, lambda: torch.zeros(1, 2))))
    next(search)
    search.send(torch.tensor([[0.5], [-2.0], [torch.nan]]))
    assert [p.loss for p in problems] == [-0.5, 2.0, 0.0]


def test_optimizer_that_maximises_the_loss_is_found_out():
    class Wrong(Candidates):
        def tell(self, candidate: Value, loss: float) -> None:
            super().tell(candidate, -loss)

    with pytest.raises(AssertionError, match="direction: wanted points of higher scores"):
        check_searcher(lb.AskTell(Wrong))


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
        SEARCHERS.add(lb.AskTell(Batches(SingleProblem(np.ones(2), np.array([[0.0, 2.0]] * 2), 0)).ask))


def test_settings_may_be_single_values():
    one = lb.Study("vae", "glyphs50", ["sobol", "cmaes"], seeds=3, exclude={"searcher": "cmaes"}, **TINY).plan()
    assert [(p.spec.searcher_name, p.spec.seeds.init) for p in one] == [("sobol", 3)]


def test_pairs_of_searchers_keep_their_budgets_apart(tmp_path):
    for budget in (10, 20):
        lb.Study("vae", "glyphs50", ["sobol", "random"], **TINY | {"budget": budget}).run(tmp_path, quiet=True)
    pairs = lb.load(tmp_path).compare().paired(of="searcher")
    assert [a.split()[-2:] == b.split()[-2:] for a, b in zip(pairs.a, pairs.b, strict=True)] == [True, True]
    assert len(set(pairs.a) | set(pairs.b)) == 4
