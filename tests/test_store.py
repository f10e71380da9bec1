"""Records on disk: whole or absent, whatever happens."""

import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest
import torch

from lso_bench.commands.inputs import read
from lso_bench.doctor import results
from lso_bench.errors import UnusableError
from lso_bench.files.sanitize import SHOWN
from lso_bench.record import Record, SearchResult
from lso_bench.spec import Seeds, Spec
from lso_bench.store.store import Store, counted
from lso_bench.vae.trained_model import Model

SPEC = Spec(Model("vae", "omniglot"), "0" * 64, "omniglot50", "adam", max_steps=200)


def record(seed=0, loss=1.5):
    member = SearchResult("random", 0, 9.0, loss, 200, [100, None, None, None, None, None], 5.0, loss, 201, "steps")
    trace = pd.DataFrame({"step": [0, 100], "start": "random", "instance": 0, "loss": [9.0, loss]})
    tensors = {"z": torch.ones(1, 2) * seed, "z_met": torch.zeros(1, 6, 2)}
    return Record(replace(SPEC, seeds=Seeds(init=seed)), "ok", [member], {"steps": 200}, trace=trace, tensors=tensors)


def broken_runs(folder: Path) -> list[str]:
    """Runs whose files are not those that their result.json names."""
    broken = []
    for run in folder.glob("runs/*/*"):
        try:
            named = json.loads((run / "result.json").read_text())["sha256"]
            if {n: sha256((run / n).read_bytes()).hexdigest() for n in named} != named:
                broken.append(run.name)
        except (OSError, ValueError):
            broken.append(run.name)
    return broken


def test_record_comes_back_as_it_was(tmp_path):
    store, saved = Store(tmp_path / "r"), record(3)
    assert saved.spec not in store
    assert store.add(saved) and saved.spec in store
    (back,) = store
    assert (back.spec, back.status, back.members, back.counts) == (saved.spec, "ok", saved.members, saved.counts)
    trace, tensors = store.trace(saved.spec), store.tensors(saved.spec)
    assert trace is not None and trace.loss.tolist() == [9.0, 1.5]
    assert tensors and torch.equal(tensors["z"], torch.ones(1, 2) * 3)


def test_not_a_number_survives_as_null(tmp_path):
    store = Store(tmp_path / "r")
    store.add(record(loss=float("nan")))
    (back,) = store
    assert back.members[0].loss != back.members[0].loss
    assert "NaN" not in next((tmp_path / "r").glob("runs/*/*/result.json")).read_text()


def test_first_writer_wins(tmp_path):
    a, b = Store(tmp_path / "r"), Store(tmp_path / "r")
    assert a.add(record(loss=1.0)) and not b.add(record(loss=2.0))
    assert [r.members[0].loss for r in a] == [1.0]
    assert not list((tmp_path / "r" / "tmp").iterdir())


def test_failed_run_is_not_done_and_gives_way_to_a_good_one(tmp_path):
    store = Store(tmp_path / "r")
    store.add(replace(record(1), status="failed", members=[], error="out of memory"))
    assert record(1).spec not in store
    assert store.add(record(1)) and record(1).spec in store
    assert [r.status for r in store] == ["ok"] and not list((tmp_path / "r" / "tmp").iterdir())


@pytest.mark.parametrize("text", ["", "step,start\n1,random\n", "step,start,instance,loss\na,b,c,d\n"])
def test_damaged_trace_is_named(tmp_path, text):
    store = Store(tmp_path / "r")
    store.add(record(1))
    next((tmp_path / "r").glob("runs/*/*/trace.csv")).write_text(text)
    assert store.trace(record(1).spec) is None and store.trace(record(1).spec) is None
    (line,) = store.damaged_files.values()
    assert "trace.csv is damaged" in line and store.tensors(record(1).spec) is not None


def write_many(folder: Path, seeds: list[int]) -> None:
    store = Store(folder)
    for seed in seeds:
        store.add(record(seed))


def test_killed_at_random_moments_no_run_is_half_there(tmp_path):
    rng, context = random.Random(0), multiprocessing.get_context("fork")
    for _ in range(15):
        child = context.Process(target=write_many, args=(tmp_path / "r", list(range(400))))
        child.start()
        time.sleep(rng.uniform(0.02, 0.3))
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert broken_runs(tmp_path / "r") == []
    write_many(tmp_path / "r", list(range(400)))
    assert sorted(r.spec.seeds.init for r in Store(tmp_path / "r")) == list(range(400))


def test_racing_writers_publish_each_run_once(tmp_path):
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=write_many, args=(tmp_path / "r", list(range(60)))) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [c.exitcode for c in children] == [0] * 4
    assert broken_runs(tmp_path / "r") == []
    assert len(list(Store(tmp_path / "r"))) == 60 and not list((tmp_path / "r" / "tmp").iterdir())


def test_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(UnusableError, match="no results folder"):
        Store(tmp_path)
    with pytest.raises(UnusableError, match="no results folder"):
        Store(tmp_path, readonly=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_file_in_the_way_is_named(tmp_path):
    (tmp_path / "r").write_text("a file")
    with pytest.raises(UnusableError, match="Cannot write to"):
        Store(tmp_path / "r")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_readonly_folder_is_named(tmp_path):
    (tmp_path / "r").mkdir(mode=0o500)
    with pytest.raises(UnusableError, match="Permission denied"):
        Store(tmp_path / "r")


def test_newer_format_is_refused(tmp_path):
    Store(tmp_path / "r")
    (tmp_path / "r" / "lso-bench.json").write_text('{"format": 99}')
    with pytest.raises(UnusableError, match="newer"):
        Store(tmp_path / "r", readonly=True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": 99}', '{"schema": 1, "spec": {}}', "[" * 100_000, "\x00"]
)
def test_unreadable_run_is_named_and_skipped(tmp_path, text):
    store = Store(tmp_path / "r")
    store.add(record(1))
    bad = tmp_path / "r" / "runs" / "ab" / "abad"
    bad.mkdir(parents=True)
    (bad / "result.json").write_text(text)
    assert [r.spec.seeds.init for r in store] == [1]
    assert len(store.skipped) == 1 and "abad" in store.skipped[0]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("status",), "splendid"),
        (("status",), ["ok"]),
        (("error",), 5),
        (("versions", "device"), {"a": 1}),
        (("seconds", "total"), "long"),
        (("joint",), {"random": [1]}),
        (("spec", "task"), 5),
        (("spec", "task"), "another"),  # not what its key says
        (("spec", "max_steps"), "200"),
        (("spec", "thresholds"), None),
        (("spec", "model", "latent"), 1.5),
        (("spec", "model"), []),
        (("spec", "more"), 1),
        (("members",), {"0": {}}),
        (("members", 0), None),
        (("members", 0, "loss"), "1.5"),
        (("members", 0, "loss"), 10**400),
        (("members", 0, "steps"), None),
        (("members", 0, "steps"), 2**70),
        (("members", 0, "start"), "<script>"),
        (("members", 0, "met"), [1]),
        (("members", 0, "image"), "0" * 17),
        (("members", 0, "image"), "\u00e9"),
        (("error",), "\ud800"),  # half a character
        (("members", 0, "beside"), {"density": []}),
        (("members", 0, "loss"), float("nan")),  # written as NaN, which is no JSON
    ],
)
def test_value_of_another_type_is_named_and_skipped(tmp_path, place, value):
    store = Store(tmp_path / "r")
    store.add(record(1))
    path = next((tmp_path / "r").glob("runs/*/*/result.json"))
    raw = json.loads(path.read_text())
    at = raw
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    path.write_text(json.dumps(raw))
    assert not list(store)
    assert len(store.skipped) == 1 and path.parent.name in store.skipped[0]


def hole(path):
    with path.open("wb") as f:
        f.truncate(1 << 40)  # takes no room


NO_RESULTS = {
    "larger than 64 MiB": hole,
    "no plain file": lambda path: path.symlink_to("/dev/zero"),
    "no plain file ": os.mkfifo,
    "no plain file, but a folder": Path.mkdir,
}


@pytest.mark.parametrize("why", NO_RESULTS)
def test_result_that_is_huge_or_has_no_end_is_named_and_never_read(tmp_path, why):
    store = Store(tmp_path / "r")
    bad = tmp_path / "r" / "runs" / "ab" / "abad"
    bad.mkdir(parents=True)
    NO_RESULTS[why](bad / "result.json")
    assert not list(store) and why.strip() in store.skipped[0]
    assert counted(store.standings()) == {"damaged": 1}
    (fault,) = results.faults(store)
    assert fault.where == "abad"


def test_stray_files_and_folders_are_named_and_hidden_ones_left_alone(tmp_path):
    store = Store(tmp_path / "r")
    store.add(record(1))
    place = next((tmp_path / "r").glob("runs/*/*"))
    (place.parent / "notes.txt").write_text("mine")
    (place.parent / ".hidden").write_text("")
    (place.parent / "empty").mkdir()
    (tmp_path / "r" / "runs" / "file").write_text("")
    place.rename(place.parent / "copy")
    assert not list(store)
    assert [s.partition(": ")[0].rpartition("/")[2] for s in store.skipped] == ["copy", "empty", "notes.txt", "file"]
    assert f"holds the run {record(1).spec.key}" in store.skipped[0]


def test_of_many_stray_files_a_few_are_named_and_the_others_counted(tmp_path, capsys):
    store = Store(tmp_path / "r")
    store.add(record())
    for i in range(300):
        (store.folder / "runs" / f"stray{i}").touch()
    assert len(read([store.folder]).records) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == SHOWN + 2 and "... and 290 like these" in lines[-2]
    assert lines[-1].startswith("What helps: lso-bench doctor ")


def test_runs_that_are_being_made_are_counted(tmp_path):
    store = Store(tmp_path / "r")
    (tmp_path / "r" / "tmp" / "0123456789abcdef.host.1.x").mkdir()
    assert store.unfinished() == ["0123456789abcdef"]


def test_only_old_work_in_progress_is_swept(tmp_path):
    Store(tmp_path / "r")
    old, new = (tmp_path / "r" / "tmp" / n for n in ("old", "new"))
    for work in (old, new):
        work.mkdir()
    os.utime(old, (0, 0))
    Store(tmp_path / "r")
    assert not old.exists() and new.exists()
