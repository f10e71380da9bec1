"""A run whose trace, costs or codes are torn or gone: the rest is compared, drawn and exported, and it is named."""

import csv
import re
from hashlib import sha256

import numpy as np
import pytest
import torch
from made import searched
from safetensors.torch import load, save

from lso_bench.analysis.comparison import compare
from lso_bench.analysis.convergence import COSTS
from lso_bench.commands.inputs import load_report
from lso_bench.report.html_report import html
from lso_bench.store.store import Store

TABLES, CODES = ("trace.csv", "costs.csv"), "latents.safetensors"
FILES = (*TABLES, CODES)
WAYS = {"random": [[9.0, 5.0, 4.0], [8.0, 6.0, 6.0]], "encoder": [[5.0, 4.0], [6.0, 6.0]]}
RUNS = [searched(WAYS, codes=lambda start, i, init=init: (init, i), init=init) for init in range(3)]
TORN = RUNS[0].spec.key
OF_WAY = {*COSTS, *(f"aRT:{c}" for c in COSTS), "ecdf"}
OF_CODES = {"basin", "distance"}


def tear(folder, name, how="short"):
    path = folder / "runs" / TORN[:2] / TORN / name
    path.unlink() if how == "gone" else path.write_bytes(path.read_bytes()[:-9])
    return folder


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path / "r")
    for r in RUNS:
        store.add(r)
    return store.folder


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The measures of all runs, and of all but the first, while no file is lost."""
    store = Store(tmp_path_factory.mktemp("complete") / "r")
    for r in RUNS:
        store.add(r)
    return [compare(records, lambda _: store).measures for records in (RUNS, RUNS[1:])]


def rows(measures, names):
    return measures[measures.measure.isin(names)].to_csv(index=False)


@pytest.mark.parametrize("how", ["short", "gone"])
@pytest.mark.parametrize("name", FILES)
def test_run_counts_in_all_but_what_needs_its_lost_file(complete, folder, name, how):
    every, needing = {*complete[0].measure}, OF_CODES if name == "latents.safetensors" else OF_WAY
    torn = Store(tear(folder, name, how))
    measures = compare(RUNS, lambda _: torn).measures
    assert rows(measures, every - needing) == rows(complete[0], every - needing)
    assert rows(measures, needing) == rows(complete[1], needing)
    (line,) = torn.damaged_files.values()
    assert TORN in line and name in line and f"is {'missing' if how == 'gone' else 'damaged'}" in line


def test_trace_of_other_starts_than_those_of_its_run_is_left_out_and_named(folder):
    run = folder / "runs" / TORN[:2] / TORN
    trace, result = (run / name for name in ("trace.csv", "result.json"))
    content = trace.read_bytes().replace(b"encoder", b"../../x")
    result.write_text(result.read_text().replace(sha256(trace.read_bytes()).hexdigest(), sha256(content).hexdigest()))
    trace.write_bytes(content)
    store = Store(folder)
    assert store.trace(RUNS[0].spec) is None
    (line,) = store.damaged_files.values()
    assert "from start '../../x' is none of the run's" in line and "delete its folder and run again" in line


ODD = {  # what a writer with the right hash may have put there, and what is said of it
    "trace.csv of a header": ("trace.csv", lambda old: old.splitlines()[0], "it has no rows"),
    "trace.csv of some searches": ("trace.csv", lambda old: b"\n".join(old.splitlines()[:3]), "has no rows"),
    "costs.csv of a header": ("costs.csv", lambda old: old.splitlines()[0], "it has no rows"),
    "costs.csv of every step twice": (
        "costs.csv",
        lambda old: old + old[old.index(b"\n") + 1 :],
        "a step stands twice",
    ),
    "codes of one search": (CODES, lambda old: but(old, "z", lambda z: z[:1]), r"z of length 4, got shape \(1, 2\)"),
    "codes in a line": (CODES, lambda old: but(old, "z", torch.flatten), "no codes z of shape"),
    "no codes": (CODES, lambda old: but(old, "z", lambda z: None), "no codes z of shape"),
    "images of one search": (
        CODES,
        lambda old: but(old, "decoded", lambda _: torch.zeros(1, 1, 4, 4)),
        "decoded of len",
    ),
    "targets of too few": (
        CODES,
        lambda old: but(old, "targets", lambda _: torch.zeros(1, 1, 4, 4)),
        "targets of length 2",
    ),
}


def but(old, name, change):
    """The tensors of a file, one of them changed."""
    tensors = load(old)
    tensors[name] = change(tensors.get(name))
    return save({k: v.contiguous() for k, v in tensors.items() if v is not None})


@pytest.mark.parametrize("odd", ODD)
def test_file_of_another_form_with_the_right_hash_is_left_out_and_named(folder, odd):
    name, change, says = ODD[odd]
    path = folder / "runs" / TORN[:2] / TORN / name
    before, result = path.read_bytes(), path.with_name("result.json")
    path.write_bytes(change(before))
    digests = (sha256(content).hexdigest() for content in (before, path.read_bytes()))
    result.write_text(result.read_text().replace(*digests))
    assert html(load_report([folder])).startswith("<!")
    store = Store(folder)
    for read in (store.trace, store.costs, store.tensors):
        read(RUNS[0].spec)
    (line,) = store.damaged_files.values()
    assert name in line and re.search(says, line) and "delete its folder and run again" in line


def test_targets_of_the_others_stay_what_they_were(folder):
    """The run that is lost was the best: what the others must reach is still its loss."""
    best = searched({"random": [[9.0, 1.0], [8.0, 1.0]], "encoder": [[5.0, 1.0], [6.0, 1.0]]}, searcher="lbfgs")
    store = Store(folder)
    store.add(best)
    (folder / "runs" / best.spec.key[:2] / best.spec.key / "trace.csv").unlink()
    table = compare([*RUNS, best], lambda _: store).measures
    steps = table[(table.measure == "steps") & (table.target == 0.01)]
    assert {*steps.searcher} == {"adam"} and (steps.censored == steps.n).all()


def test_all_files_lost_leave_the_final_losses(folder):
    for path in folder.glob("runs/*/*/*.*"):
        if path.name in FILES:
            path.write_bytes(b"")
    store = Store(folder)
    table = compare(RUNS, lambda _: store).measures
    assert not {*table.measure} & (OF_WAY | OF_CODES) and np.isfinite(table[table.measure == "loss"].estimate).all()
    assert len(store.damaged_files) == 9


@pytest.mark.parametrize("name", FILES)
def test_compare_shows_its_table_and_names_the_file_once(call, folder, name):
    tear(folder, name)
    done = call("compare", folder, "--figures", folder.parent / "figures")
    assert done.returncode == 0 and "final loss" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("skipped: ")]
    assert TORN in line and name in line
    assert call("compare", folder, "--strict").returncode == 3
    assert call("compare", folder, "--strict", "--no-traces").returncode == 0  # it is not asked for


def test_strict_comparison_of_whole_files_succeeds(call, folder):
    assert call("compare", folder, "--strict").returncode == 0


@pytest.mark.parametrize("name", FILES)
def test_page_is_made_and_lists_the_file_as_lost(folder, name, capsys):
    page = html(load_report([tear(folder, name)]))
    lost = page[page.index('id="lost"') :]
    assert f"{TORN}/{name} is damaged" in lost and f"{TORN}/{name} is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["measures", "traces"])
def test_export_writes_what_is_whole_and_names_the_file(call, folder, what):
    tear(folder, "trace.csv")
    done = call("export", folder, "--what", what, "-o", "out.csv")
    assert done.returncode == 0 and "trace.csv is damaged" in done.stderr
    with (folder.parent / "out.csv").open() as f:
        lines = [*csv.DictReader(f)]
    assert lines and all(row.get("key") != TORN for row in lines)
