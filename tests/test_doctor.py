"""Doctor: what is planted is found and has its mend, what is whole is called whole, and nothing is ever raised."""

import json
import os
import shutil
from importlib import metadata

import pytest
import torch
from conftest import TINY, as_another_user, messages, random_vae
from made import searched

from lso_bench.doctor import installation, results
from lso_bench.files.paths import own_folder
from lso_bench.store.store import Store
from lso_bench.vae.checkpoint import read, save_model, write
from lso_bench.vae.trained_model import SHIPPED

WAYS = {"random": [[9.0, 5.0], [8.0, 6.0]]}


def states(findings, about=None):
    """By state, the findings of one check."""
    subset = [f for f in findings if about in (None, f.about)]
    return {s: [f for f in subset if f.state == s] for s in ("ok", "warning", "unusable")}


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "r")
    for init in range(6):
        store.add(searched(WAYS, init=init))
    return store.folder


def test_whole_results_are_called_whole(folder):
    (only,) = results.findings([folder])
    assert only.state == "ok" and "6 of 6 runs are whole" in only.message


def rewritten(run, change):
    raw = json.loads((run / "result.json").read_text())
    change(raw)
    (run / "result.json").write_text(json.dumps(raw))


PLANTED = {
    "damaged": lambda run: (run / "trace.csv").write_text("step,start,instance,loss\n"),
    "damaged ": lambda run: (run / "result.json").write_text("{"),
    "incomplete": lambda run: (run / "latents.safetensors").unlink(),
    "incomplete ": lambda run: (run / "result.json").unlink(),
    "misplaced": lambda run: rewritten(run, lambda raw: raw["spec"].update(max_steps=7)),
    "foreign": lambda run: (run / "notes.txt").write_text("mine"),
    "damaged  ": lambda run: rewritten(run, lambda raw: raw.update(schema=1)),  # whose specs have a box
    "damaged   ": lambda run: rewritten(run, lambda raw: raw.update(schema=0)),
    "of a newer schema": lambda run: rewritten(run, lambda raw: raw.update(schema=99)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_fault_of_a_run_is_found_with_its_mend(folder, fault):
    first = min(folder.glob("runs/*/*"))
    PLANTED[fault](first)
    whole, finding = results.findings([folder])
    kind = fault.strip()
    assert "5 of 6" in whole.message and finding.mend == results.MENDS[kind]
    assert f"1 of its runs {kind} ({first.name}:" in finding.message
    assert finding.state == ("warning" if kind in results.HARMLESS else "unusable")


def test_what_is_stale_foreign_or_double_is_a_warning(folder, tmp_path):
    (folder / "thesis.txt").write_text("mine")
    (folder / "tmp" / "old").mkdir()
    os.utime(folder / "tmp" / "old", (0, 0))
    shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("thesis.txt", "old"))
    by_state = states(results.findings([folder, tmp_path / "copy"]))
    assert len(by_state["ok"]) == 2 and not by_state["unusable"]
    message = " ".join(f.message for f in by_state["warning"])
    assert "thesis.txt" in message and "broken off long ago (old)" in message and "6 runs stand in several" in message
    assert all(f.mend for f in by_state["warning"])


def test_every_planted_fault_of_the_installation_is_found_and_none_raised(tmp_path, monkeypatch):
    directory = own_folder()
    save_model(directory / "short.safetensors", random_vae(TINY), {"command": "by a test"})
    (directory / "torn.safetensors").write_bytes((directory / "short.safetensors").read_bytes()[:-9])
    tensors, header = read(directory / "short.safetensors")
    write(directory / "nan.safetensors", tensors | {"encoder.main.4.weight": torch.tensor(torch.nan)}, header)
    write(directory / "judge.safetensors", tensors, {"kind": "no such"})
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    for part in ("train", "t10k"):
        (tmp_path / "data" / "MNIST" / "raw" / f"{part}-images-idx3-ubyte").write_bytes(b"short")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    versions = {"torch": "1.0", "numpy": None}
    monkeypatch.setattr(installation, "version", lambda name: version(name, versions))
    findings = [*installation.examine([tmp_path / "nowhere"], tmp_path / "data")]
    assert {f.about for f in findings} >= {"gpu", "disk"}
    (torchvision,) = installation._torchvision()  # examined where a data set is missing, which it would download
    assert torchvision.state in ("ok", "warning")
    assert all(f.mend for f in findings if f.state != "ok") and all("\n" not in str(f) for f in findings)

    by_topic = {about: states(findings, about) for about in ("versions", "threads", "data", "checkpoints", "results")}
    assert "torch 1.0, wanted >=2.10" in by_topic["versions"]["warning"][0].message
    assert by_topic["versions"]["unusable"][0].message == "no numpy"
    assert len(by_topic["threads"]["warning"]) == 2
    assert "MNIST in" in by_topic["data"]["unusable"][0].message
    bad = " ".join(f.message for f in by_topic["checkpoints"]["unusable"])
    assert all(name in bad for name in ("torn", "nan", "judge")) and "short" not in bad
    assert "short.safetensors: its header lacks data_sha256" in by_topic["checkpoints"]["warning"][0].message
    assert len(by_topic["checkpoints"]["ok"]) == len([*SHIPPED.glob("*.safetensors")])
    assert "no results folder" in by_topic["results"]["unusable"][0].message


def version(name, versions):
    if versions.get(name, "") is None:
        raise metadata.PackageNotFoundError(name)
    return versions.get(name) or metadata.version(name)


def test_check_that_breaks_is_a_finding_itself(monkeypatch):
    def broken():
        raise RuntimeError("not as it was thought")

    monkeypatch.setattr(installation, "_versions", broken)
    monkeypatch.setattr(installation, "_data", lambda folder: iter(()))
    monkeypatch.setattr(installation, "_checkpoints", lambda: iter(()))
    findings = [*installation.examine()]
    assert findings[0].state == "unusable" and "RuntimeError: not as it was thought" in findings[0].message
    assert len({f.about for f in findings}) > 3


def test_doctor_ends_with_status_4_where_something_is_unusable(call, folder, tmp_path):
    (min(folder.glob("runs/*/*")) / "trace.csv").write_text("")
    done = call("doctor", folder, "--json", "--data-dir", tmp_path)
    assert done.returncode == 4 and not messages(done.stderr)
    findings = json.loads(done.stdout)
    assert [f["about"] for f in findings if f["state"] == "unusable"] == ["results"]


@pytest.mark.parametrize("variable", ["LSO_BENCH_CACHE", "LSO_BENCH_CHECKPOINTS"])
@pytest.mark.parametrize("below", ["", "/deeper/still"])
def test_a_file_where_a_folder_is_wanted_is_named_and_never_said_to_be_deleted(tmp_path, monkeypatch, variable, below):
    (tmp_path / "thesis.txt").write_text("work of years")
    monkeypatch.setenv(variable, f"{tmp_path / 'thesis.txt'}{below}")
    (disk,) = [f for f in installation._disk([]) if f.state == "unusable"]
    assert variable in disk.message and "thesis.txt is no folder" in disk.message and disk.mend == "name another folder"
    assert (tmp_path / "thesis.txt").read_text() == "work of years"


def test_a_cache_in_a_closed_folder_is_a_finding(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setenv("LSO_BENCH_CACHE", str(closed / "cache"))
    with as_another_user(tmp_path):
        pass  # which opens the folders above
    closed.chmod(0)
    with as_another_user(tmp_path):
        findings = [f for f in installation._disk([]) if "LSO_BENCH_CACHE" in f.message]
    assert [(f.state, f.mend) for f in findings] == [("warning", "name another folder")]


def test_runs_that_nobody_may_read_are_named_and_the_others_read(folder):
    closed, *readable = sorted(folder.glob("runs/*"))
    mode = closed.stat().st_mode
    with as_another_user(folder):
        pass  # which opens the folders above
    closed.chmod(0)
    try:
        with as_another_user(folder):
            store = Store(folder, readonly=True)
            assert len([*store]) == sum(len([*p.iterdir()]) for p in readable)
            assert store.skipped and all(closed.name in line for line in store.skipped)
            _, bad = results.findings([folder])
        assert bad.state == "unusable" and "delete" not in bad.mend
    finally:
        closed.chmod(mode)


@pytest.mark.parametrize("link", ["runs/loop", "runs/aa/loop", "loop", "metrics/loop"])
def test_a_link_to_itself_or_above_ends_no_reading(folder, link):
    (folder / link).parent.mkdir(exist_ok=True, parents=True)
    (folder / link).symlink_to(folder)
    (folder / f"{link}2").symlink_to(folder / f"{link}2")
    store = Store(folder, readonly=True)
    assert len([*store]) == 6
    assert [f.state for f in results.findings([folder])].count("ok") == 1
