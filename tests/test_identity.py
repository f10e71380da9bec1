"""Identity at use: what a run is of is checked where it is used, in whatever process."""

import hashlib
import json
import os
import py_compile
import re
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from examples import INK, SHRINKING, SPARSE
from PIL import Image
from test_architectures import MLP
from test_plugins import publish

from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors import ExecutionOptions
from lso_bench.executors.local import local
from lso_bench.executors.ray_cluster import _sources
from lso_bench.executors.remote_worker import Job, Worker
from lso_bench.executors.serial import serial
from lso_bench.plugins import code_version, sources
from lso_bench.plugins.discovery import module_at
from lso_bench.runner.placement import Placement
from lso_bench.runner.run import run
from lso_bench.search import SEARCHERS
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.study.lookup import find_checkpoint, named_model
from lso_bench.task import TASKS

SHORT = Protocol(max_steps=2, budget=4)
BLOBS = '''"""Spots."""
from dataclasses import dataclass
import numpy as np
from lso_bench.vae.datasets import ImageSource

@dataclass(frozen=True)
class Spots(ImageSource):
    """White squares."""
    def images(self, folder):
        return np.random.default_rng(0).integers(0, 256, (100, 28, 28)).astype(np.uint8)
'''
SELF_EDITING = '''"""Edits itself while it is at work."""
from dataclasses import dataclass
from pathlib import Path
from lso_bench import Task

@dataclass(frozen=True)
class Restless(Task):
    """Ink, and a longer file."""
    data = "glyphs"
    def score(self, x):
        with open("restless.py", "a") as file:
            file.write("# edited\\n")
        return x.mean((-3, -2, -1))
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in, in which Python finds modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def planned_of(task, searcher="sobol"):
    return plan(Grid(["vae"], [task], [searcher], arch="conv"), SHORT)[0]


def edit(path, old="0.15", new="0.25"):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edited_task_file_is_refused_and_not_executed(place):
    (place / "ink.py").write_text(INK)
    planned = planned_of("./ink.py")
    (place / "ink.py").write_text(INK + "\nopen('executed', 'w')\n")
    with pytest.raises(UnusableError, match=r"\./ink\.py.* has changed since the run was planned; run the command"):
        run(planned.spec, planned.checkpoint)
    assert not (place / "executed").exists()


def test_an_edited_searcher_file_is_refused(place):
    (place / "shrinking.py").write_text(SHRINKING)
    planned = planned_of("ink", "./shrinking.py")
    edit(place / "shrinking.py", "1.0", "2.0")
    with pytest.raises(UnusableError, match=r"\./shrinking\.py.* has changed since"):
        run(planned.spec, planned.checkpoint)


def test_a_deleted_task_file_is_refused(place):
    (place / "ink.py").write_text(INK)
    planned = planned_of("./ink.py")
    (place / "ink.py").unlink()
    with pytest.raises(UnusableError, match="has changed since"):
        run(planned.spec, planned.checkpoint)


def test_an_edited_module_beside_the_task_is_another_run_and_is_refused(place):
    (place / "aims_a.py").write_text("TARGET = 0.15")
    (place / "ink.py").write_text("from aims_a import TARGET\n" + INK.replace("0.15", "TARGET"))
    planned = planned_of("./ink.py")
    edit(place / "aims_a.py")
    assert code_version.source_hash("./ink.py") != planned.spec.source
    with pytest.raises(UnusableError, match=r"imported from beside it, has changed since"):
        run(planned.spec, planned.checkpoint)
    with pytest.raises(UnusableError, match="changed while it was loaded; run the command again"):
        planned_of("./ink.py")  # this process has the module as it was


def test_an_edited_task_of_a_package_is_refused(place, monkeypatch):
    publish(place, monkeypatch, INK, "tasks", "my_ink = inks_of_a_package:Ink")
    planned = planned_of("my_ink")
    edited = replace(planned.identity, task=planned.identity.task.replace(planned.identity.task[:4], "0000", 1))
    with pytest.raises(UnusableError, match=r"code of task 'my_ink:.*' is another on this machine, or has changed"):
        run(planned.spec, planned.checkpoint, planned=edited)


PATH = "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\n"


@pytest.mark.parametrize("carry_out", [serial, local], ids=["serial", "pool"])
def test_a_task_that_lets_python_find_its_own_folder_runs_and_counts_what_it_imports(tmp_path, monkeypatch, carry_out):
    monkeypatch.chdir(tmp_path)
    helper = tmp_path / f"aims_{tmp_path.name}"  # this process imports each name once
    helper.mkdir()
    (helper / "__init__.py").write_text("from .deep import TARGET")
    (helper / "deep.py").write_text("TARGET = 0.15")
    (tmp_path / "ink.py").write_text(f"{PATH}from {helper.name} import TARGET\n{INK.replace('0.15', 'TARGET')}")
    before = code_version.source_hash("./ink.py")
    planned = plan(Grid(["vae"], ["./ink.py"], ["sobol"], seeds=range(2), arch="conv"), SHORT)
    records = [*carry_out(planned, Store(tmp_path / "results"), ExecutionOptions(isolation="batch"))]
    assert [r.status for r in records] == ["ok", "ok"] and {r.spec.source for r in records} == {before}
    edit(helper / "deep.py")
    assert code_version.source_hash("./ink.py") != before


def test_two_tasks_with_a_module_of_one_name_each_are_refused_in_one_process(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "aims_of_both.py").write_text("TARGET = 0.15")
        text = f"{PATH}from aims_of_both import TARGET\n{INK.replace('0.15', 'TARGET')}"
        (tmp_path / name / "ink.py").write_text(text)
    TASKS.build(f"{tmp_path}/one/ink.py")
    with pytest.raises(UsageError, match=r"two/ink\.py: it imports 'aims_of_both', of which there are two.*; rename"):
        TASKS.build(f"{tmp_path}/two/ink.py")


def test_a_module_beside_that_is_not_imported_is_named_with_the_way_to_it(tmp_path):
    (tmp_path / "aims_not_to_be_had.py").touch()
    (tmp_path / "ink.py").write_text("import aims_not_to_be_had\n" + INK)
    with pytest.raises(UsageError, match=rf"which stands beside it; PYTHONPATH={tmp_path} lets Python find it"):
        TASKS.build(f"{tmp_path}/ink.py")


def images_in(folder, count=100):
    folder.mkdir(exist_ok=True)
    for i in range(count):
        Image.new("L", (28, 28), i * 2).save(folder / f"{i}.png")


def of_own_data(place, text):
    """A planned run of a task on a data set of the user's own, with weights of others."""
    (place / "ink.py").write_text(INK.replace('data = "glyphs"', f'data = "{text}"'))
    planned = planned_of("ink")
    task = plan_of_data = TASKS.build("./ink.py")
    assert plan_of_data.data == text
    model = replace(planned.spec.model, data=text)
    spec = replace(planned.spec, model=model, task="./ink.py:target=0.15", source=code_version.source_of(task))
    from lso_bench.runner.identity import identity

    return replace(planned, spec=spec, identity=identity("./ink.py", task, "sobol", SEARCHERS.build("sobol")))


def test_a_changed_folder_of_images_is_refused(place):
    images_in(place / "imgs")
    planned = of_own_data(place, "./imgs")
    assert run(planned.spec, planned.checkpoint, planned=planned.identity).status == "ok"
    Image.new("L", (28, 28), 7).save(place / "imgs" / "3.png")
    with pytest.raises(UnusableError, match=r"Data set './imgs' has changed since the run was planned"):
        run(planned.spec, planned.checkpoint, planned=planned.identity)


def test_missing_checkpoint_of_a_folder_that_changed_says_so(place, checkpoint):
    images_in(place / "my imgs")
    model = named_model("vae", "./my imgs", "conv", 4, 0)
    with pytest.raises(UnusableError, match=r"on \./my imgs\. Train it: lso-bench train .* --data './my imgs' --arch"):
        find_checkpoint(model)
    trained = checkpoint.rename(checkpoint.with_name(model.file))
    assert find_checkpoint(model) == trained
    Image.new("L", (28, 28), 7).save(place / "my imgs" / "3.png")
    with pytest.raises(
        UnusableError, match=rf"The data set \./my imgs has changed since {re.escape(trained.name)} was trained"
    ):
        find_checkpoint(model)


def edited(*files):
    for file in files:
        file.write_text(file.read_text() + "# a comment\n")


def test_missing_checkpoint_says_which_of_the_files_has_changed(place, checkpoint):
    images_in(place / "imgs")
    objective, networks = place / "sparse.py", place / "mlp.py"
    objective.write_text(SPARSE)
    networks.write_text(MLP)

    def model():
        return named_model("./sparse.py:pull=0.5", "./imgs:size=16", "./mlp.py:hidden=8", 4, 1)

    trained = checkpoint.rename(checkpoint.with_name(model().file))
    assert find_checkpoint(model()) == trained
    since = rf"changed since {re.escape(trained.name)} was trained\. Put back what it was, or train it again: "
    edited(objective)
    with pytest.raises(UnusableError, match=rf"The objective \./sparse\.py has {since}"):
        find_checkpoint(model())
    edited(networks)
    with pytest.raises(UnusableError, match=rf"The architecture \./mlp.py and the objective \./sparse.py have {since}"):
        find_checkpoint(model())
    objective.write_text(SPARSE)
    with pytest.raises(UnusableError, match=rf"The architecture \./mlp.py has {since}"):
        find_checkpoint(model())


def test_time_of_a_training_is_said_of_shipped_data_alone(place):
    images_in(place / "imgs")
    for data, words in (("omniglot", "Train it, in about an hour"), ("./imgs", "Train it: lso-bench")):
        with pytest.raises(UnusableError, match=words):
            find_checkpoint(named_model("vae:beta=0.37", data, "conv", 4, 0))


def test_an_edited_data_set_file_is_refused(place):
    (place / "spots.py").write_text(BLOBS)
    planned = of_own_data(place, "./spots.py")
    edit(place / "spots.py", "default_rng(0)", "default_rng(1)")
    with pytest.raises(UnusableError, match=r"Data set './spots.py' has changed since the run was planned"):
        run(planned.spec, planned.checkpoint, planned=planned.identity)


def test_a_data_set_that_changes_while_it_is_read_is_refused(place):
    images_in(place / "imgs")
    lines = "        open('imgs/new.png', 'wb').write(open('imgs/1.png', 'rb').read())\n        return"
    (place / "spots.py").write_text(BLOBS.replace("        return", lines) + "# edited\n")
    planned = of_own_data(place, "./imgs")
    before = TASKS.build("./ink.py")
    assert before.data == "./imgs"
    from lso_bench.runner.cache import Loaded
    from lso_bench.vae import data, image_folder

    def read(path, size, really=image_folder._read):
        if path.name == "99.png":
            Image.new("L", (28, 28), 9).save(place / "imgs" / "0.png")
        return really(path, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_folder, "_read", read)
        with pytest.raises(UnusableError, match="changed while it was read"):
            Loaded().data("./imgs", None, data.file_name("./imgs"))
    assert planned.identity.data != data.file_name("./imgs")


def consistent(record):
    """Tell whether the hashes of a record agree: of one file from a path, both are of the same content."""
    return record.spec.source.startswith(record.versions["task_sha256"])


@pytest.mark.parametrize("carry_out", [serial, local], ids=["serial", "pool"])
def test_a_task_that_is_edited_in_mid_study_is_refused_and_no_record_contradicts_itself(place, carry_out):
    (place / "restless.py").write_text(SELF_EDITING)
    planned = plan(Grid(["vae"], ["./restless.py"], ["sobol"], seeds=range(3), arch="conv"), SHORT)
    store, records = Store(place / "results"), []
    with pytest.raises(UnusableError, match=r"\./restless\.py.* has changed since"):
        records += carry_out(planned, store, ExecutionOptions(isolation="batch"))
    (kept,) = Store(place / "results")
    assert kept.status == "ok" and consistent(kept)
    assert kept.spec.source == hashlib.sha256(SELF_EDITING.encode()).hexdigest()


LATE = SELF_EDITING.replace(
    """        with open("restless.py", "a") as file:
            file.write("# edited\\n")
        return""",
    """        EDIT
        from late_aim import AIM
        return AIM *""",
)


@pytest.mark.parametrize(("edit", "refused"), [("pass", False), ("Path('late_aim.py').write_text('AIM = 2')", True)])
def test_what_a_task_imports_while_it_scores_is_what_its_record_says(place, monkeypatch, edit, refused):
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "late_aim", raising=False)
    (place / "late_aim.py").write_text("AIM = 1")
    (place / "late.py").write_text(LATE.replace("EDIT", edit))
    planned = plan(Grid(["vae"], ["./late.py"], ["sobol"], arch="conv"), SHORT)
    says = pytest.raises(UnusableError, match=r"\./late\.py.* has changed since") if refused else nullcontext()
    with says:
        assert [r.status for r in serial(planned, Store(place / "results"), ExecutionOptions())] == ["ok"]
    assert len([*Store(place / "results")]) == (not refused)
    assert 1 + refused == sys.modules.pop("late_aim").AIM


def test_byte_code_of_an_earlier_edit_is_not_executed(place, monkeypatch):
    monkeypatch.syspath_prepend(place)
    (place / "package").mkdir()
    plugin = "from stale_aim import AIM\nfrom package.stale_part import PART\n" + INK.replace("0.15", "AIM * PART")
    (place / "stale.py").write_text(plugin)
    for number in (1, 2):
        for name in ("stale_aim.py", "package/stale_part.py", "package/__init__.py"):
            file = place / name
            file.write_text(f"AIM = PART = {number}\n")
            os.utime(file, (1e9, 1e9))
            if number == 1:
                py_compile.compile(str(file))
    module_at(place / "stale.py")
    assert (sys.modules.pop("stale_aim").AIM, sys.modules.pop("package.stale_part").PART) == (2, 2)
    sys.modules.pop("package")


def test_a_study_whose_task_is_edited_ends_with_a_line(place, call):
    (place / "restless.py").write_text(SELF_EDITING)
    arguments = ["run", "--model", "vae", "--arch", "conv", "--task", "./restless.py", "--searcher", "sobol"]
    done = call(*arguments, "--budget", 4, "--seed", "0,1", "--jobs", 1, "--isolation", "batch", "--no-pictures")
    assert done.returncode == 4 and "Traceback" not in done.stderr
    assert "./restless.py, or what is imported from beside it, has changed since the run was planned" in done.stderr


def job_of(planned):
    return Job(planned, Placement(), {}, _sources([planned]))


def test_a_worker_elsewhere_has_the_files_and_what_they_import(place, monkeypatch):
    (place / "aims_b.py").write_text("TARGET = 0.15")
    (place / "ink.py").write_text("from aims_b import TARGET\n" + INK.replace("0.15", "TARGET"))
    content = (place / "ink.py").read_bytes()
    job = job_of(planned_of("./ink.py"))
    assert job.sources == {"./ink.py": {"ink.py": content} | sources.beside(Path("ink.py"), content)}
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p != str(place)])
    __import__("sys").modules.pop("aims_b")
    record = Worker().run(job)
    assert record.status == "ok" and record.spec == job.planned.spec and consistent(record)


def test_a_worker_elsewhere_refuses_other_files(place):
    (place / "ink.py").write_text(INK)
    job = job_of(planned_of("./ink.py"))
    edited = replace(job, sources={"./ink.py": {"ink.py": INK.replace("0.15", "0.3").encode()}})
    with pytest.raises(UnusableError, match="has changed since"):
        Worker().run(edited)


def test_a_file_that_was_written_twice_within_a_second_is_the_last(place):
    for target in (0.15, 0.25, 0.35):  # of one length, which Python's own bytecode takes for one version
        (place / "ink.py").write_text(INK.replace("0.15", str(target)))
        assert TASKS.build("./ink.py").target == target


def test_records_say_which_data_and_code_they_are_of(place):
    (place / "ink.py").write_text(INK)
    planned = planned_of("./ink.py")
    record = run(planned.spec, planned.checkpoint, planned=planned.identity)
    assert consistent(record) and len(record.versions["data_sha256"]) == 64
    json.dumps(record.versions)
