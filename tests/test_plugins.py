"""The ways in for tasks, searchers and objectives, and what is said of those that do not come in."""

import pickle
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from conftest import TINY, random_vae, squares
from examples import INK, SHRINKING, SPARSE

from lso_bench.commands.catalogue import GROUPS, catalogue
from lso_bench.errors import UsageError
from lso_bench.plugins import code_version
from lso_bench.plugins.built_in import BuiltIns
from lso_bench.runner.identity import PLUGINS
from lso_bench.search import SEARCHERS, Problem
from lso_bench.search.region import build
from lso_bench.study.lookup import named_model
from lso_bench.task import TASKS, Task
from lso_bench.testing import check_searcher, template
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]


def publish(folder, monkeypatch, code, group, entry):
    """Installs a package of one module, as pip would have it, that publishes `entry` ("name = module:Class")."""
    module = entry.split(" = ")[1].split(":")[0]
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lso_bench.{group}]\n{entry}\n")
    monkeypatch.syspath_prepend(str(folder))


def test_task_comes_in_by_a_path(tmp_path):
    (tmp_path / "ink.py").write_text(INK)
    task = TASKS.build(f"{tmp_path}/ink.py:target=0.5")
    assert task.score(torch.ones(1, 1, 1, 28, 28)).item() == pytest.approx(-0.5)


def test_task_file_may_have_postponed_annotations(tmp_path):
    text = INK.replace("from dataclasses", "from __future__ import annotations\n\nfrom dataclasses")
    (tmp_path / "ink.py").write_text(text)
    assert TASKS.canonical(f"{tmp_path}/ink.py").endswith("ink.py:target=0.15")


def test_records_name_every_setting():
    assert SEARCHERS.canonical("adam:lr=0.3") == "adam:lr=0.3,beta1=0.9,beta2=0.999"
    assert SEARCHERS.canonical("adam") == SEARCHERS.canonical("adam:lr=0.1")
    full = TASKS.canonical("glyphs50")
    assert full == "glyphs50:data=glyphs,instances=50,seed=0" == TASKS.canonical(full)


def test_edited_task_file_is_another_task(tmp_path):
    path = tmp_path / "ink.py"
    path.write_text(INK)
    before = code_version.source_hash(str(path), "adam")
    path.write_text(INK.replace("0.15", "0.2"))
    assert before != code_version.source_hash(str(path), "adam") and code_version.source_hash("glyphs50", "adam") == ""


TWICE = "\n\n@dataclass(frozen=True)\nclass Other(Task):\n    data = 'glyphs'\n    score = Ink.score\n"


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("task", "import nothing_of_the_sort", "does not import: ModuleNotFoundError"),
        ("task", "def f(:", "does not import: SyntaxError"),
        ("task", "raise SystemExit(3)", "does not import: SystemExit: 3"),
        ("task", "x = 1", "wanted one subclass of Task, got 0"),
        ("task", INK + TWICE, r"wanted one subclass of Task, got 2 \(Ink, Other\); give each a file"),
        ("task", INK.replace("def score", "def scores"), "Ink is abstract; write its score"),
        (
            "task",
            INK.replace("@dataclass(frozen=True)", ""),
            r"wanted a dataclass; write @dataclass\(frozen=True\) above",
        ),
        ("task", INK.replace("float = 0.15", "float"), "wants a default for its setting target"),
        ("task", INK.replace("optimum = 0.0", "optimun = 0.0"), "defines optimun, which nothing uses.*write optimum"),
        ("searcher", "import nothing_of_the_sort", "does not import"),
        ("searcher", INK, "wanted one subclass of Searcher, got 0"),
        ("searcher", SHRINKING.replace("def search", "def look"), "Shrinking is abstract; write its search"),
        (
            "searcher",
            SHRINKING.replace("    def search", "    need_gradient = True\n\n    def search"),
            "defines need_gradient, which nothing uses.*write needs_gradient, or give need_gradient another name",
        ),
        ("searcher", SHRINKING.replace("@dataclass(frozen=True)", "@dataclass"), r"write @dataclass\(frozen=True\)"),
        ("searcher", SHRINKING.replace("yield ", ""), "Shrinking.search never yields; write `scores = yield points`"),
    ],
)
def test_faulty_file_is_named_in_one_line(tmp_path, kind, text, says):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=rf"bad\.py.*{says}"):
        PLUGINS[kind].build(str(tmp_path / "bad.py"))


def test_searcher_may_return_the_generator_of_another(tmp_path):
    text = SHRINKING.replace("def search(", "def _steps(")
    delegating = "\n    def search(self, problem):\n        return self._steps(problem)\n"
    (tmp_path / "shrinking.py").write_text(text + delegating)
    problem = Problem(torch.ones(1, 1, 2), build("none", 2, lambda: torch.zeros(1, 2)))
    assert next(SEARCHERS.build(f"{tmp_path}/shrinking.py").search(problem)).shape == (1, 1, 2)


def test_setting_without_a_type_is_named_with_the_line_to_write(tmp_path):
    (tmp_path / "ink.py").write_text(INK.replace("target: float = 0.15", "target = 0.15"))
    with pytest.raises(
        UsageError, match=r"target of Ink is no setting, for it has no type; write `target: float = 0\.15`"
    ):
        TASKS.build(f"{tmp_path}/ink.py:target=0.2")


@pytest.mark.parametrize("kind", GROUPS)
def test_no_built_in_plugin_is_faulty(kind):
    assert catalogue(kind).faults == {}


PAGES = {
    "models": "models",
    "data": "bring-your-own",
    "tasks": "tasks",
    "searchers": "search",
    "architectures": "models",
}


@pytest.mark.parametrize(("kind", "page"), [*PAGES.items(), ("searchers", "glossary")])
def test_every_built_in_name_stands_in_the_documents(kind, page):
    text = (ROOT / "docs" / f"{page}.md").read_text()
    missing = [name for name in catalogue(kind).names if not re.search(f"`{re.escape(name)}[`:]", text)]
    assert not missing, f"docs/{page}.md does not name {missing}"


def test_file_of_a_built_in_plugin_has_a_name_that_python_imports(tmp_path, monkeypatch):
    (folder := tmp_path / "zoo_of_tasks").mkdir()
    (folder / "__init__.py").touch()
    (folder / "my-ink.py").write_text(INK)
    monkeypatch.syspath_prepend(tmp_path)
    loaded, faulty = BuiltIns(Task, "zoo_of_tasks").load()
    assert not loaded and faulty == {
        "my-ink": "my-ink.py: wanted a file name of small letters, digits and _; rename the file."
    }


def test_setting_that_no_text_gives_is_named_with_its_type(tmp_path):
    (tmp_path / "ink.py").write_text(INK.replace("    optimum = 0.0", "    shares: tuple = (0.1,)\n    optimum = 0.0"))
    with pytest.raises(UsageError, match="shares of Ink is a tuple, which no text gives"):
        TASKS.build(f"{tmp_path}/ink.py:shares=0.2")


def test_files_of_one_name_in_two_folders_are_two_tasks(tmp_path):
    for folder, text in (("a", INK), ("b", INK.replace("0.15", "0.4"))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "ink.py").write_text(text)
    a, b = (TASKS.build(str(tmp_path / folder / "ink.py")) for folder in "ab")
    assert (a.target, b.target) == (0.15, 0.4)
    assert pickle.loads(pickle.dumps(a)) == a  # it is the class of its own file that pickle finds


BUILD = {
    "tasks": lambda name: TASKS.build(name),
    "searchers": lambda name: SEARCHERS.build(name),
    "objectives": lambda name: named_model(name, "glyphs", "small", 8, 0),
}
FAULTS = {
    "tasks": lambda: TASKS.faults(),
    "searchers": lambda: SEARCHERS.faults(),
    "objectives": OBJECTIVES.faults,
}


@pytest.mark.parametrize("group", BUILD)
def test_entry_point_that_does_not_import_is_named_and_harms_no_other(tmp_path, monkeypatch, group):
    publish(tmp_path, monkeypatch, "import nothing_of_the_sort", group, "broken = brokens:Broken")
    with pytest.raises(UsageError, match="brokens:Broken does not import: ModuleNotFoundError"):
        BUILD[group]("broken")
    BUILD[group]({"tasks": "glyphs50", "searchers": "adam", "objectives": "vae"}[group])


@pytest.mark.parametrize("group", BUILD)
def test_entry_point_of_another_kind_is_named(tmp_path, monkeypatch, group):
    publish(tmp_path, monkeypatch, "Odd = 3", group, "odd = odds:Odd")
    with pytest.raises(UsageError, match=r"odds:Odd: wanted a dataclass that is a subclass of .*, got 3"):
        BUILD[group]("odd")


@pytest.mark.parametrize(
    ("group", "name"), [("tasks", "glyphs50"), ("searchers", "adam"), ("objectives", "beta_vae_0.7")]
)
def test_entry_point_cannot_take_a_name_of_ours(tmp_path, monkeypatch, group, name):
    publish(tmp_path, monkeypatch, "import nothing_of_the_sort", group, f"{name} = thieves:Thief")
    BUILD[group](name)
    assert FAULTS[group]() == {name: "thieves:Thief is hidden by ours"}


@pytest.mark.parametrize(("group", "text"), [("tasks", INK), ("searchers", SHRINKING), ("objectives", SPARSE)])
def test_name_that_two_packages_publish_means_neither(tmp_path, monkeypatch, group, text):
    cls = {"tasks": "Ink", "searchers": "Shrinking", "objectives": "Sparse"}[group]
    for package in ("ones", "twos"):
        publish(tmp_path, monkeypatch, text, group, f"mine = {package}:{cls}")
    with pytest.raises(UsageError, match=f"published by several packages, as ones:{cls} and twos:{cls}; uninstall"):
        BUILD[group]("mine")
    assert "mine" in FAULTS[group]()


def test_unknown_name_gets_the_nearest():
    with pytest.raises(UsageError, match="Did you mean 'omniglot50'"):
        TASKS.build("omniglot51")


@pytest.mark.parametrize("text", ["adam:lrr=1", "adam:lr=fast"])
def test_unknown_or_wrong_setting_is_named(text):
    with pytest.raises(UsageError, match="lr"):
        SEARCHERS.build(text)


def test_missing_file_is_named():
    with pytest.raises(UsageError, match="No file"):
        TASKS.build("./nowhere.py")


def test_searcher_comes_in_by_a_path(tmp_path):
    (tmp_path / "shrinking.py").write_text(SHRINKING)
    text = f"{tmp_path}/shrinking.py:sigma=0.5"
    check_searcher(text)
    assert code_version.source_hash(text)  # an edited searcher is another one


def test_searcher_comes_in_by_an_entry_point(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, SHRINKING, "searchers", "shrinking = shrinkings:Shrinking")
    assert SEARCHERS.build("shrinking:sigma=0.3").sigma == 0.3 and "shrinking" in SEARCHERS.names()


def test_objective_comes_in_by_a_path(tmp_path):
    (tmp_path / "sparse.py").write_text(SPARSE)
    terms = OBJECTIVES.build(f"{tmp_path}/sparse.py:pull=0.25")(random_vae(TINY), squares(3))
    assert (terms.penalty > 0).all() and (terms.rate > 0).all()


def test_objective_comes_in_by_an_entry_point(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, SPARSE, "objectives", "sparse = sparses:Sparse")
    assert "sparse" in OBJECTIVES.names() and OBJECTIVES.build("sparse:pull=0.3").pull == 0.3
    assert named_model("sparse", "glyphs", "small", 8, 0).file == "glyphs-small-d8-sparse-s0.safetensors"


def test_edited_objective_is_another_model(tmp_path):
    path = tmp_path / "sparse.py"
    path.write_text(SPARSE)
    before = Model(str(path), "glyphs").file
    path.write_text(SPARSE.replace("0.1", "0.6"))
    assert before != Model(str(path), "glyphs").file and "/" not in before


@pytest.mark.parametrize(
    "text", [template.TASK.replace("Example", "MyTask").replace("example", "my_task"), SHRINKING, SPARSE]
)
def test_examples_in_the_guide_are_those_tested_here(text):
    assert text.strip() in (ROOT / "CONTRIBUTING.md").read_text()


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


def test_class_that_cannot_be_made_is_named_in_one_line(tmp_path):
    (tmp_path / "bad.py").write_text(INK + "\n    def __post_init__(self):\n        {}['no such']\n")
    with pytest.raises(UsageError, match=r"bad\.py: KeyError: 'no such'"):
        TASKS.build(str(tmp_path / "bad.py"))


def test_name_that_the_methods_use_may_resemble_one_of_the_base(tmp_path):
    text = INK.replace("    target: float = 0.15", "    target = 0.15")
    text = text.replace("- self.target", "- sum([self.target for _ in range(1)])")  # code inside the method
    assert "[self.target" in text
    (tmp_path / "ink.py").write_text(text)
    assert TASKS.build(f"{tmp_path}/ink.py").target == 0.15  # beside `targets`


def test_object_of_a_class_with_a_misspelt_name_is_refused():
    @dataclass(frozen=True)
    class Ink(Task):
        data = "glyphs"

        def score(self, x):
            return x.mean((-3, -2, -1))

        def has_target(self):
            return False

    with pytest.raises(UsageError, match=r"Task: Ink defines has_target, .* not has_targets; write has_targets"):
        TASKS.add(Ink())
