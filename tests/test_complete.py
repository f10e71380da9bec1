"""A study succeeds where all that was planned stands there at its end; one damaged result never ends it."""

import json
import shutil
from dataclasses import replace
from typing import Any

import pytest
import typer
from made import searched
from test_executors import faulty
from test_first_writer import DAMAGES

from lso_bench.api.carry_out import carry_out
from lso_bench.api.output import say
from lso_bench.commands.ending import print_end
from lso_bench.executors import ExecutionOptions
from lso_bench.executors.worker import publish
from lso_bench.record import Record
from lso_bench.store.store import Store
from lso_bench.study import completeness
from lso_bench.study.grid import Grid, Protocol, plan


@pytest.fixture
def planned(checkpoint):
    return plan(Grid(["vae"], ["glyphs50:instances=1"], seeds=range(3), latent=4), Protocol(("random",), max_steps=1))


def done(run, status: Any = "ok"):
    """A record of it, made by hand."""
    return Record(run.spec, status, error=None if status == "ok" else "of then")


def study(planned, store):
    """The exit status of what `run` does with these runs."""
    said = carry_out(planned, store, ExecutionOptions(isolation="none"), quiet=True, say=say)
    try:
        print_end(completeness.check(planned, store), said)
    except typer.Exit as end:
        return end.exit_code
    return 0


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_result_is_named_with_its_mend_before_anything_runs_and_the_others_are_done(
    planned, tmp_path, capsys, damage
):
    store = Store(tmp_path / "r")
    place = store.place(planned[1].spec)
    place.mkdir(parents=True)
    DAMAGES[damage](place)
    store.add(done(planned[2]))
    assert study(planned, store) == 4
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"damaged: {place}") and ("run again" in lines[0] or "another --results" in lines[0])
    assert "seed 0: ok" in lines[2] and lines[-1].startswith(f"2 of 3 planned runs stand in {store.folder}, 1 damaged")
    assert [*map(store.__contains__, (p.spec for p in planned))] == [True, False, True]
    assert [p.name for p in place.iterdir()]


def test_results_folder_deleted_in_mid_study_is_said_run_by_run(planned, tmp_path, capsys):
    remove = faulty(tmp_path, f"__import__('shutil').rmtree({str(tmp_path / 'r')!r}, ignore_errors=True)")
    grid = Grid(["vae"], ["glyphs50:instances=1", remove], latent=4)
    runs = plan(grid, Protocol(("random",), max_steps=1))
    assert study(runs, Store(tmp_path / "r")) == 3
    err = capsys.readouterr().err
    assert (
        f"missing: {runs[0].spec.title} · no region · 1 steps, {runs[0].spec.key}" in err
        and err.count("missing: ") == 1
    )
    assert f"1 of 2 planned runs stand in {tmp_path / 'r'}, 1 missing; the same command makes what is missing." in err


def test_result_that_is_damaged_in_mid_study_does_not_end_it(planned, tmp_path, capsys):
    place = Store(tmp_path / "r").place(planned[0].spec)
    tear = faulty(tmp_path, f"open({str(place / 'result.json')!r}, 'w').close()")
    runs = [planned[0], *plan(Grid(["vae"], [tear], latent=4), Protocol(("random",), max_steps=1)), planned[1]]
    assert study(runs, Store(tmp_path / "r")) == 4
    err = capsys.readouterr().err
    assert f"damaged: {place}" in err and "2 of 3 planned runs stand" in err


def test_result_that_is_damaged_while_its_run_is_computed_keeps_what_was_computed(planned, tmp_path):
    store = Store(tmp_path / "r")
    place = store.place(planned[0].spec)
    place.mkdir(parents=True)
    (place / "trace.csv").write_text("")
    record = publish(done(planned[0]), store)
    assert record.status == "failed" and str(place) in str(record.error) and "is kept in" in str(record.error)
    shutil.rmtree(place)
    assert [r.status for r in Store(tmp_path / "r")] == ["ok"]


def test_moved_run_is_missing_and_failed_one_is_status_3(planned, tmp_path):
    store = Store(tmp_path / "r")
    for run, status in zip(planned, ("ok", "ok", "timeout"), strict=True):
        store.add(done(run, status))
    assert not completeness.check(planned, store).complete and not completeness.check(planned, store).incomplete()
    assert completeness.check(planned[:2], store).complete
    store.place(planned[0].spec).rename(tmp_path / "elsewhere")
    end = completeness.check(planned[:2], store)
    assert not end.complete and planned[0].spec.key in end.incomplete()[0]


def test_many_damaged_runs_are_counted_and_some_named(planned, tmp_path):
    store = Store(tmp_path / "r")
    runs = [replace(planned[0], spec=replace(planned[0].spec, max_steps=i + 1)) for i in range(30)]
    for run in runs[:25]:
        store.place(run.spec).mkdir(parents=True)
        (store.place(run.spec) / "left").touch()
    end = completeness.check(runs, store)
    assert len(end.damaged()) == 11 and "15 like these" in end.damaged()[-1]
    assert len(end.incomplete()) == 6 and "5 missing, 25 damaged" in end.incomplete()[-1]


def spoil(place, how):
    """Spoil the trace of a run."""
    trace = place / "trace.csv"
    text = trace.read_text()
    trace.unlink()
    if how == "a folder":
        trace.mkdir()
    elif how == "torn":
        trace.write_text(text[:-9])


def traced(init=0, **spec):
    """A run that was done, by hand."""
    return searched({"random": [[9.0, 5.0], [8.0, 6.0]]}, init=init, **spec)


@pytest.mark.parametrize("how", ["gone", "a folder", "torn"])
def test_study_with_a_run_whose_trace_is_lost_names_it_with_its_mend_and_ends_with_status_4(
    call, planned, tmp_path, how
):
    assert study(planned[:1], Store(tmp_path / "r")) == 0
    (place,) = tmp_path.glob("r/runs/*/*")
    spoil(place, how)
    grid = ("--task", "glyphs50:instances=1", "--latent", 4, "--max-steps", 1, "--starts", "random")
    done = call("run", "--model", "vae", *grid, "--results", "r", "--quiet", "--no-pictures")
    assert done.returncode == 4 and "final loss" in done.stdout
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("damaged: ")]
    assert f"{place.relative_to(tmp_path)}/trace.csv" in line and "delete its folder and run again" in line
    assert "0 of 1 planned runs stand in r, 1 damaged" in done.stderr


@pytest.mark.parametrize("how", ["gone", "a folder"])
def test_status_names_damaged_runs_with_their_mend(call, tmp_path, how):
    store = Store(tmp_path / "r")
    for init in range(3):
        store.add(traced(init))
    first, second, _ = sorted(tmp_path.glob("r/runs/*/*"))
    spoil(first, how)
    (second / "result.json").write_text("{")
    done = call("status", "r")
    assert done.returncode == 4 and done.stdout == "r: 2 damaged, 1 ok\n"
    lines = done.stderr.splitlines()
    assert [f"{p.relative_to(tmp_path)}" in x for p, x in zip((first, second), lines, strict=True)] == [True, True]
    assert all(x.startswith("damaged: ") and x.endswith("delete its folder and run again.") for x in lines)
    in_json = call("status", "r", "--json")
    assert in_json.returncode == 4 and json.loads(in_json.stdout)["runs"] == {"damaged": 2, "ok": 1}


@pytest.mark.parametrize(
    "value", [float("nan"), object(), 2**60, "text", "\ud800"], ids=["nan", "object", "number", "text", "surrogate"]
)
def test_what_a_plugin_reports_and_no_reader_takes_is_a_failed_run_that_says_so(planned, tmp_path, value):
    store = Store(tmp_path / "r")
    odd = replace(done(planned[0]), counts={})
    odd.counts["calls"] = value
    record = publish(odd, store)
    assert record.status == "failed" and "cannot be kept" in str(record.error)
    assert [r.status for r in store] == ["failed"] and not store.skipped


@pytest.mark.parametrize("text", ["\ud800 half", "\x00\x1b[2J", "x" * 10**8], ids=["half", "nul", "huge"])
def test_error_text_of_any_kind_can_be_read_again(planned, tmp_path, text):
    store = Store(tmp_path / "r")
    publish(replace(done(planned[0], "failed"), error=text, versions={"deaths": text}), store)
    (record,) = store
    assert record.status == "failed" and len(record.error or "") < 30_000 and not store.skipped
