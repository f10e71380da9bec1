"""Versions of the task and the searcher of a run: recorded, and told where versions are mixed."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHORT
from examples import INK
from made import SPEC, VERSIONS, searched
from test_plugins import publish

from lso_bench.analysis.caveats import caveats
from lso_bench.plugins.sources import without_imports
from lso_bench.runner.identity import PLUGINS
from lso_bench.search import SEARCHERS
from lso_bench.searchers.adam import Adam
from lso_bench.spec import Seeds
from lso_bench.study.grid import runs_of_other_versions
from lso_bench.task import TASKS
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]
TWICE = INK.replace("return ", "return 2 * ")


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("kind", "text", "file"),
    [
        ("task", "ink:target=0.3", "tasks/ink.py"),
        ("task", "glyphs50", "tasks/reconstruction.py"),
        ("searcher", "adam", "lso_bench/searchers/adam.py"),
    ],
)
def test_origin_is_the_file_of_the_class_without_imports_of_this_program(kind, text, file):
    lines = (ROOT / file).read_text().splitlines(keepends=True)
    code = [line for line in lines if not line.startswith("from lso_bench")]
    assert len(code) < len(lines) and PLUGINS[kind].code_version(text) == {f"{kind}_sha256": digest("".join(code))}


def test_module_that_moves_makes_no_other_version_of_a_plugin_of_this_program():
    before = b"import torch\nfrom lso_bench.here import (\n    A,\n    B,\n)\n\nclass S(A):\n    c = B\n"
    after = before.replace(b"(\n    A,\n    B,\n)", b"B, A").replace(b"lso_bench.here", b"lso_bench.there")
    assert after != before and without_imports(before) == without_imports(after)
    assert without_imports(before.replace(b"c = B", b"c = A")) != without_imports(before)


def test_origin_of_a_file_given_by_path_is_what_it_says_now(tmp_path):
    path = tmp_path / "mine.py"
    for text in (INK, TWICE):
        path.write_text(text)
        assert TASKS.code_version(str(path)) == {"task_sha256": digest(text)}


def test_origin_of_a_package_has_its_version_too(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, INK, "tasks", "mine = origins:Ink")
    assert TASKS.code_version("mine") == {"task_sha256": digest(INK), "task_package": "origins 1.0"}


def test_class_keeps_the_origin_that_it_was_made_from(tmp_path, monkeypatch):
    publish(tmp_path, monkeypatch, INK, "tasks", "mine = edited_later:Ink")
    TASKS.build("mine")
    (tmp_path / "edited_later.py").write_text(TWICE)
    assert TASKS.code_version("mine")["task_sha256"] == digest(INK)


def made_by(init=0, **versions):
    ends = [4.0 + init, 3.0, 2.0 - init]
    return replace(searched({"random": [[9.0, x] for x in ends]}, init=init), versions=VERSIONS | versions)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            {"task_sha256": "aa"},
            {"task_sha256": "bb"},
            "omniglot50: the runs were made by several versions of the task",
        ),
        ({"searcher_sha256": "aa"}, {"searcher_sha256": "bb"}, "adam: the runs were made by several versions of the s"),
        (
            {"task_sha256": "aa", "task_package": "p 1"},
            {"task_sha256": "aa", "task_package": "p 2"},
            "(--by task_package): aa, p 1; aa, p 2.",
        ),
        ({"task_sha256": "aa"}, {"task_sha256": "aa"}, ""),
        ({}, {"task_sha256": "aa", "searcher_sha256": "aa"}, ""),  # recorded before versions were
        ({}, {}, ""),
    ],
)
def test_mixed_versions_are_told(first, second, says):
    lines = [line for line in caveats([made_by(**first), made_by(init=1, **second)]) if "several versions" in line]
    assert says in lines[0] if says else not lines


def test_versions_of_a_searcher_are_told_over_tasks():
    second = replace(made_by(searcher_sha256="bb"), spec=replace(SPEC, task="mnist50", searcher="adam:lr=0.3"))
    assert any("adam: the runs were made by" in line for line in caveats([made_by(searcher_sha256="aa"), second]))


def test_runs_of_another_version_than_is_there_are_found():
    now = TASKS.code_version("ink") | SEARCHERS.code_version("adam")
    ink = replace(made_by(), spec=replace(SPEC, model=Model("vae", "glyphs"), task="ink"))
    runs = [replace(ink, versions=v) for v in (now, {}, now | {"task_sha256": "aa"}, now | {"searcher_sha256": "aa"})]
    assert runs_of_other_versions(runs) == {"task ink": [ink.spec.key], "searcher adam": [ink.spec.key]}


@pytest.mark.parametrize(("region", "differs"), [("none", False), ("box:3", False), ("ball:5.7", True)])
def test_earlier_version_counts_as_the_present_one_where_its_results_are_the_same(region, differs):
    earlier, present = next(iter(Adam.earlier)), SEARCHERS.code_version("adam")["searcher_sha256"]
    spec = replace(SPEC, model=Model("vae", "glyphs"), task="ink", searcher="adam", region=region)
    runs = [
        replace(made_by(searcher_sha256=v), spec=replace(spec, seeds=Seeds(i)))
        for i, v in enumerate((earlier, present))
    ]
    assert present not in Adam.earlier
    assert runs_of_other_versions(runs) == ({"searcher adam": [runs[0].spec.key]} if differs else {})
    assert any("several versions of the searcher" in line for line in caveats(runs)) == differs


def test_a_searcher_that_a_result_names_by_its_file_is_not_executed(tmp_path):
    file, executed = tmp_path / "mine.py", tmp_path / "executed"
    file.write_text(f"open({str(executed)!r}, 'w')\n")
    record = made_by(searcher_sha256="aa")
    named = replace(record, spec=replace(record.spec, searcher=str(file)))
    another = replace(named, versions=VERSIONS | {"searcher_sha256": "bb"}, spec=replace(named.spec, seeds=Seeds(1)))
    assert any("several versions of the searcher" in line for line in caveats([named, another]))
    assert not executed.exists()


def test_run_says_what_another_version_made_and_does_not_run_it_again(call, checkpoint, tmp_path, monkeypatch):
    package = tmp_path / "site"
    package.mkdir()
    publish(package, monkeypatch, INK, "tasks", "mine = inks_of_mine:Ink")
    command = ("run", "--model", "vae", "--task", "mine", *SHORT[2:], "--decoding", "sample")
    searcher = ("--searcher", "random", "--budget", "4", "--results", "r", "--quiet", "--no-pictures")
    command = tuple(c for c in command if c not in ("--max-steps", "2")) + searcher
    first = call(*command)
    assert first.returncode == 0, first.stderr
    (result,) = (tmp_path / "r" / "runs").glob("*/*/result.json")
    versions = json.loads(result.read_text())["versions"]
    assert versions["task_sha256"] == digest(INK) and versions["task_package"] == "inks_of_mine 1.0"
    (package / "inks_of_mine.py").write_text(TWICE)
    second = call(*command, "--seed", "0,1")
    assert second.returncode == 0, second.stderr
    assert "1 of them were made by another version of task mine, and are not run again" in second.stderr
    assert f"(runs/{result.parent.parent.name}/{result.parent.name})" in second.stderr
    assert "mine: the runs were made by several versions of the task's code" in second.stdout
    assert json.loads(result.read_text())["versions"] == versions
