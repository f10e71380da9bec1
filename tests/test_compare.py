"""Measures of records whose answers are known."""

import csv
import io
import json
import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from conftest import messages
from made import SPEC, VERSIONS, measures, one, searched
from rich.console import Console

from lso_bench.analysis.caveats import caveats
from lso_bench.commands.compare import compare
from lso_bench.errors import UsageError
from lso_bench.record import Record, SearchResult
from lso_bench.report import export, tables
from lso_bench.report.renderers import terminal
from lso_bench.report.run_tables import costs
from lso_bench.report.sections import sections
from lso_bench.report.table import MODEL, SEARCHER, Cell, Table, columns
from lso_bench.spec import Seeds
from lso_bench.store.store import Store
from lso_bench.vae.trained_model import Model

N = 20


def run(seed=0, gap=0.25, apart=2.0, slow=5, **spec):
    """N instances from two starts, `gap` apart in loss and `apart` in each of 4 coordinates; the `slow` last
    instances meet threshold 0.5 never, the others at step 100 or 200 by turns; no one meets 0.
    """
    members, shift = [], 0.001 * (spec.get("model", SPEC.model).name != "vae")  # no two models find the same losses
    for start, offset in (("random", gap + shift), ("encoder", shift)):
        for i in range(N):
            met = None if i >= N - slow else 100 * (1 + i % 2)
            members.append(
                SearchResult(start, i, 50.0, 10.0 + i + offset, 300, [met, None], 6.0, 10.0 + i + offset, 301, "steps")
            )
    codes = torch.cat([torch.zeros(N, 4), torch.full((N, 4), apart)])
    at = torch.full((2 * N, 2, 4), torch.nan)
    at[:, 0] = codes / 2
    for i, m in enumerate(members):
        if m.met[0] is None:
            at[i] = torch.nan
    mine = replace(SPEC, seeds=Seeds(init=seed), **spec)
    return Record(
        mine,
        "ok",
        members,
        versions=VERSIONS,
        joint={"random": [200, None], "encoder": [100, None]},
        trace=pd.DataFrame(
            {"step": s, "start": m.start, "instance": m.instance, "loss": m.first_loss if s == 0 else m.loss}
            for s in (0, 300)
            for m in members
        ),
        costs=pd.DataFrame({"step": [0, 300], "evaluations": [1, 301], "seconds": [0.0, 3.0]}),
        tensors={"z": codes, "z_met": at},
    )


def test_final_loss_has_its_order_statistics():
    row = one(measures(run()), "loss", "encoder")
    assert (row.n, row.censored) == (N, 0)
    assert row["median"] == row["mean"] == 19.5
    assert (row.q25, row.q75) == (14.0, 24.0)
    assert 14 < row.low < 19.5 < row.high < 25


def test_one_more_censored_search_never_lowers_the_median():
    half = measures(run(slow=0))
    worse = measures(run(slow=1))
    assert one(half, "iterations", "random", threshold=0.5)["median"] == 150
    assert one(worse, "iterations", "random", threshold=0.5)["median"] >= 150


def test_gap_and_squared_distance_of_two_starts():
    comparison, pair = measures(run()), "random - encoder"
    assert one(comparison, "gap", pair)["median"] == pytest.approx(0.25)
    assert one(comparison, "distance", pair)["median"] == 16.0  # 4 coordinates, 2 apart
    at = one(comparison, "distance", pair, threshold=0.5)
    assert (at["median"], at.n, at.censored) == (4.0, N, 5)


def test_gap_at_a_threshold_is_that_of_the_losses_where_both_met_it():
    """Losses fall by 1 a step from 10 and 12: after 4 and 3 steps they are 6 and 9, and in the end both 0."""
    way = {"random": [[10.0 - s for s in range(11)]], "encoder": [[12.0 - s for s in range(12)] + [0.0]]}
    record = searched(way, thresholds=(0.5, 0.1))
    members = [replace(m, met=[4 if m.start == "random" else 3, None]) for m in record.members]
    comparison = measures(replace(record, members=members))
    assert one(comparison, "gap", "random - encoder", threshold=0.5)["median"] == 3.0
    assert one(comparison, "gap", "random - encoder", threshold=0.1).censored == 1
    assert one(comparison, "gap", "random - encoder")["median"] == 0.0


def test_model_that_met_no_threshold_takes_no_gap_at_it_from_the_others():
    way = {"random": [[10.0 - s for s in range(11)]] * 12, "encoder": [[12.0 - s for s in range(12)] + [0.0]] * 12}
    records = [searched(way, thresholds=(0.5,), model=Model(m, "omniglot")) for m in ("vae", "nevae_se", "rae")]
    met = [
        replace(r, members=[replace(m, met=[4 if m.start == "random" else 3]) for m in r.members]) for r in records[:2]
    ]
    died = Record(records[2].spec, "failed", error="it died")
    for third in (records[2], died):
        rows = measures(*met, third).measures
        assert {*rows[rows.measure == "model rank:gap 0.5"].model} == {"vae", "nevae_se"}


def test_searchers_without_thresholds_differ_in_none_from_those_that_have_them():
    descent = searched({"random": [[9.0, 5.0]] * 3}, max_steps=300)
    without = searched({"random": [[9.0, 5.0]] * 3}, searcher="cmaes:sigma=0.5", budget=300, thresholds=())
    assert not [n for n in measures(descent, without).notes if "threshold" in n]
    finer = replace(descent, spec=replace(descent.spec, seeds=Seeds(1, 1), thresholds=(0.5, 0.1)))
    assert [n for n in measures(descent, without, finer).notes if "differ in thresholds (0.5, 0; 0.5, 0.1)" in n]


def test_models_trained_for_different_times_are_flagged():
    trained = [replace(run(model=m), versions=VERSIONS | {"epochs": e}) for m, e in ((SPEC.model, 20), (OTHER, 1))]
    (line,) = [n for n in measures(*trained).notes if "epochs" in n]
    assert "nevae_se was trained for 1 epochs and vae for 20" in line
    alike = [replace(r, versions=VERSIONS | {"epochs": 20}) for r in trained]
    assert not [n for n in measures(*alike).notes if "epochs" in n]


def test_censored_searches_count_as_longer_than_all_others():
    few, most = measures(run(slow=5)), measures(run(slow=15))
    row = one(few, "iterations", "random", threshold=0.5)
    assert (row.n, row.censored, row["median"]) == (N, 5, 200)
    assert math.isnan(row["mean"])  # never an average over those that finished
    assert one(most, "iterations", "random", threshold=0.5)["median"] == math.inf
    assert one(few, "iterations", "random", threshold=0.0).censored == N


def test_seeds_of_one_instance_are_not_independent():
    alone, thrice = measures(run()), measures(*(run(seed=s) for s in range(3)))
    a, b = one(alone, "loss", "encoder"), one(thrice, "loss", "encoder")
    assert b.n == 3 * N
    assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.25)


def test_failed_run_is_named_and_left_out():
    failed = Record(replace(SPEC, seeds=Seeds(init=9)), "failed", error="ZeroDivisionError: by zero")
    comparison = measures(run(), failed)
    assert any("failed" in n and "by zero" in n for n in comparison.notes)
    assert one(comparison, "loss", "random").n == N


def test_diverged_search_counts_as_worst():
    good = run()
    bad = replace(good, status="diverged", members=[replace(good.members[0], loss=math.nan), *good.members[1:]])
    comparison = measures(bad)
    row = one(comparison, "loss", "random")
    assert (row.n, row.censored) == (N, 1) and row["median"] >= 19.75
    assert any("diverged" in n for n in comparison.notes)
    gap = one(comparison, "gap", "random - encoder")
    assert (gap.n, gap.censored) == (N, 1)


OTHER, BETA = (Model(name, "omniglot") for name in ("nevae_se", "beta_vae_0.9"))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (run(model=OTHER, max_steps=999), "differ in budgets"),
        (run(model=OTHER, budget=301), "differ in budgets"),
        (run(model=OTHER, seconds=9.0), "differ in time limits"),
        (run(model=OTHER, patience=9), "differ in when they stop"),
        (run(model=OTHER, thresholds=(0.5, 0.1)), "differ in thresholds"),
        (run(model=OTHER, starts=("encoder", "random")), "differ in starts"),
        (run(model=OTHER, region="box:3"), "differ in search regions"),
        (run(model=OTHER, decoding="mean"), "differ in decoding"),
        (replace(run(model=OTHER), versions={"device": "H100"}), "differ in devices"),
        (replace(run(model=OTHER), versions=VERSIONS | {"threads": 2}), "differ in threads"),
        (replace(run(model=OTHER), versions=VERSIONS | {"lso_bench": "9"}), "differ in code versions"),
        (replace(run(model=OTHER), versions=VERSIONS | {"torch": "9"}), "differ in versions of torch"),
        (replace(run(model=OTHER), versions=VERSIONS | {"data_sha256": "other"}), "differ in data"),
        (replace(run(model=OTHER), counts={"fallbacks": 3}), "3 times"),
        (replace(run(model=OTHER), counts={"penalty_fallbacks": 4}), "4 times the penalty was not finite"),
        (replace(run(model=OTHER), counts={"inversion_fallbacks": 5}), "5 times log p(x|z) was not finite"),
        (replace(run(model=OTHER), counts={"invalid_scores": 3}), "3 times a sample had no score"),
        (replace(run(model=OTHER), counts={"outside_points": 6}), "6 times the optimizer asked for a point outside"),
        (replace(run(model=OTHER), counts={"moved_starts": 11}), "11 of 40 starts lay outside none"),
        (
            run(model=OTHER, seed=4),
            "2 of 4 runs of the grid are missing: 2 of adam (nevae_se, vae; seed 0, 4).",
        ),
        (run(seed=1, checkpoint="1" * 64), "different weights"),
        (replace(run(), versions=VERSIONS | {"data_sha256": "a", "trained_on_sha256": "b"}), "other pixels"),
    ],
)
def test_what_makes_runs_incomparable_is_said(record, says):
    assert any(says in line for line in caveats([run(), record]))


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([run(model=OTHER, seed=4)], "models with adam were not run with the same seeds; their rows are not paired."),
        (
            [run(model=OTHER), run(seed=4)],
            "not run with the same seeds; ranks and tests are of the seeds that all of them have",
        ),
        (
            [run(model=OTHER), run(model=Model("rae", "omniglot"), seed=4)],
            "ranks and tests are of the seeds that the others share, without rae.",
        ),
        ([searched({"random": [[9.0, 1.0]] * 3, "encoder": [[9.0, 2.0]] * 3}, model=OTHER)], "on the same instances"),
        ([replace(run(model=OTHER), spec=replace(run(model=OTHER).spec, seeds=Seeds(0, 7)))], "with the same seeds"),
    ],
)
def test_rows_that_are_not_paired_are_named(records, says):
    assert any(says in line for line in measures(run(), *records).notes)


def trained(seed: int, init: int, *models: Model, **spec) -> list[Record]:
    return [run(init, model=replace(m, seed=seed), **spec) for m in models]


def test_rows_that_are_paired_are_not_flagged_as_unpaired():
    """Models of several trainings are paired in each training; searchers with other limits are not compared."""
    trainings = [*trained(0, 0, SPEC.model, OTHER, BETA), *trained(1, 0, SPEC.model, OTHER)]
    further = trained(0, 1, SPEC.model, OTHER, BETA, searcher="cmaes:sigma=0.5", budget=300)
    by_training = measures(*trainings, *further, by=["seed.train"]).notes
    assert not [line for line in by_training if "not run with the same" in line or "not paired" in line]
    (line,) = [line for line in measures(*trainings, *further).notes if "not run with the same" in line]
    assert "models with adam were not" in line and "not paired" not in line


def test_comparable_runs_have_no_caveats():
    assert not measures(run(), replace(run(model=OTHER), counts={"moved_starts": 10})).notes


def test_files_of_one_name_and_other_content_are_told():
    lines = caveats([run(source="a" * 64), run(model=OTHER, source="b" * 64)])
    assert any("differ in task or searcher files" in line for line in lines)


def test_two_searchers_of_the_users_have_two_files_and_no_flag():
    lines = caveats([run(searcher="./a.py", source="a" * 64), run(searcher="./b.py", source="b" * 64)])
    assert not any("files" in line for line in lines)


def test_json_csv_and_table_give_the_same_figures():
    comparison = measures(run())
    rows = json.loads(export.as_json(comparison))["measures"]
    table = list(csv.DictReader(io.StringIO(export.as_csv(comparison))))
    assert len(rows) == len(table) == len(comparison.measures)
    gap = next(r for r in rows if r["measure"] == "gap")
    assert float(next(r for r in table if r["measure"] == "gap")["median"]) == gap["median"]
    text = shown(comparison)
    assert "> 300 (0/20)" in text and "200 (15/20)" in text and "16" in text


def test_csv_says_how_many_runs_failed_and_of_what_code():
    newer = replace(run(budget=301), versions=VERSIONS | {"lso_bench": "9"})
    lost = Record(replace(SPEC, budget=301, seeds=Seeds(init=9)), "failed", error="no ink")
    rows = list(csv.DictReader(io.StringIO(export.as_csv(measures(newer, lost, run(model=OTHER), by=["data"])))))
    assert {(r["failed"], r["code"]) for r in rows if r["model"] == "vae"} == {("1", "9")}
    assert {(r["failed"], r["code"]) for r in rows if r["model"] == "nevae_se" and r["measure"] == "loss"} == {
        ("0", "")
    }


def test_command_says_on_stderr_what_csv_cannot_hold(folders, capsys):
    compare(folders, csv=True, no_traces=True)
    said = capsys.readouterr()
    assert "! omniglot50: 1 of 4 runs of the grid are missing" in said.err and "missing" not in said.out
    compare(folders, json=True, no_traces=True)
    assert not messages(capsys.readouterr().err)


def test_json_has_null_where_most_were_censored():
    rows = json.loads(export.as_json(measures(run(slow=15))))["measures"]
    row = next(r for r in rows if r["measure"] == "iterations" and r["threshold"] == 0.5)
    assert row["median"] is None and row["censored"] == 15


@pytest.mark.parametrize(
    ("cost", "title", "first"), [("steps", "Steps", "3 / 3"), ("seconds", "Seconds (of", "1.50 / 1.50")]
)
def test_way_to_a_target_is_counted_as_asked(cost, title, first):
    comparison = measures(searched({"random": [[9.0, 9.0, 9.0, 1.0]] * 3}))  # half a second a step
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(tables.terminal(comparison, cost))
    table = console.export_text().partition(f"{title}")[2]
    assert "to a target loss" in table and first in table


def test_losses_that_are_all_the_same_have_no_shares_of_variance():
    records = [replace(r, members=[replace(m, loss=10.0) for m in r.members]) for r in (run(), run(seed=1))]
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(tables.terminal(measures(*records)))
    text = console.export_text()
    assert "nothing varies" in text and "nan" not in text and "()" not in text


def test_hostile_names_are_neutral_in_tables_and_csv():
    comparison = measures(run(model=Model("=cmd|' /C calc'!A0", "omniglot"), task="[red]x"))
    assert "\n=cmd" not in export.as_csv(comparison) and "'=cmd" in export.as_csv(comparison)
    assert "[red]x" in shown(comparison, 160)


HOSTILE = ["\x1b[31mred\r\n", "[bold]x[/bold]", "=cmd|x", "\t=1+1", "a|b\\ & %$#_{}~^<b>", "n" * 10_000, "a\u202eb"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_form_lets_a_name_do_harm(name):
    result = measures(run(model=Model(name, "omniglot"), region=f"box:{name}"))
    drawn = (shown(result), tables.markdown(result), tables.latex(result), export.as_csv(result))
    for text in drawn:
        assert all(c.isprintable() or c == "\n" for c in text)
    assert max(map(len, drawn[0].splitlines())) <= 140 and all(len(text) < 60_000 for text in drawn[:3])
    assert not any(cell.strip()[:1] in ("=", "+", "@") for row in csv.reader(io.StringIO(drawn[3])) for cell in row)
    assert {r["model"] for r in json.loads(export.as_json(result))["measures"]} == {name}  # data are left as they are


def test_markdown_has_as_many_cells_in_each_row_as_its_heading():
    text = tables.markdown(measures(run(model=Model("a|b*c_d", "omniglot")), run()))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    blocks = text.split("\n\n")
    assert len(lines) > 10 and r"a\|b\*c\_d" in text
    for block in (b for b in blocks if b.startswith("| ")):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_latex_has_booktabs_rules_and_escapes_what_is_special():
    text = tables.latex(measures(run(model=Model("a_b&c%d#e{f}$g\\h~i^j", "omniglot")), run()))
    assert r"a\_b\&c\%d\#e\{f\}\$g\textbackslash{}h\textasciitilde{}i\textasciicircum{}j" in text
    bodies = re.findall(
        r"\\begin{tabular}{([lr]+)}\n\\toprule\n(.+?)\\midrule\n(.+?)\\bottomrule\n\\end{tabular}", text, re.S
    )
    assert len(bodies) == text.count(r"\begin{table}") == text.count(r"\end{table}") > 4
    for places, heading, rows in bodies:
        for line in (heading + rows).splitlines():
            assert line.endswith(r"\\") and len(re.findall(r"(?<!\\)&", line)) == len(places) - 1
    assert not re.search(r"(?<!\\)[%#](?! )", text)  # comments apart


def bold(*records):
    result = measures(*records)
    table = next(t for part in tables.parts(result, "steps") for t in part.tables if t.title.startswith("Final loss"))
    return {(row[0].text, row[2].text) for row in table.rows if any(cell.best for cell in row)}


def test_best_and_what_is_not_told_from_it_are_bold():
    def shifted_run(model, shift, noise=0.0):
        rng = np.random.default_rng(1)
        ways = [[50.0, 10.0 + i + shift + noise * x] for i, x in enumerate(rng.standard_normal(N))]
        return searched({"random": ways}, model=Model(model, "omniglot"))

    best = shifted_run("vae", 0.0)
    assert bold(best, shifted_run("rae", 0.5)) == {("vae", "random")}  # half a unit more in every instance
    assert bold(best, shifted_run("rae", 0.01, noise=3.0)) == {("vae", "random"), ("rae", "random")}
    few = [
        searched({"random": [[50.0, 10.0 + shift]] * 3}, model=Model(m, "omniglot"))
        for m, shift in (("vae", 0), ("rae", 1))
    ]
    assert bold(*few) == set()  # three instances have no interval, and no best
    behind = one(measures(best, shifted_run("rae", 0.5)), "behind", "random", model="rae")
    assert behind["median"] == pytest.approx(0.5) and behind.n == N


def test_runs_behind_each_row_are_counted():
    spec = replace(SPEC, seeds=Seeds(init=9))
    lost = replace(run(seed=1), members=[replace(m, loss=math.nan, stopped="diverged") for m in run(seed=1).members])
    comparison = measures(
        run(), replace(lost, status="diverged"), Record(spec, "failed", error="ZeroDivisionError: by zero")
    )
    (row,) = comparison.runs.to_dict("records")
    assert (row["runs"], row["failed"], row["diverged"]) == (3, 1, 1)
    assert (row["searches"], row["censored"], row["device"]) == (4 * N, 2 * N, "cpu")
    assert row["ended"] == f"{2 * N} steps, {2 * N} diverged"
    assert json.loads(export.as_json(comparison))["runs"][0]["failed"] == 1


def test_group_of_failed_runs_alone_is_shown():
    text = shown(measures(run(), Record(replace(SPEC, task="ink"), "failed", error="no ink")))
    assert re.search(r"vae +adam +1 +1 +0 +0 +0", text) and "ink" in text


def test_results_do_not_depend_on_the_order_of_the_records():
    runs = [run(seed=s, model=Model(m, "omniglot")) for s in range(3) for m in ("vae", "nevae_se")]
    forward, backward = measures(*runs), measures(*reversed(runs))
    pd.testing.assert_frame_equal(forward.measures, backward.measures)
    assert forward.notes == backward.notes


def test_runs_on_different_devices_are_not_pooled():
    comparison = measures(run(), replace(run(seed=1), versions={"device": "H100"}))
    rows = comparison.measures[(comparison.measures.measure == "loss") & (comparison.measures.start == "random")]
    assert sorted(rows.device) == ["H100", "cpu"] and set(rows.n) == {N}


def test_joint_stop_stands_beside_the_single_ones():
    comparison = measures(run(seed=0), run(seed=1))
    row = one(comparison, "joint", "random", threshold=0.5)
    assert (row.n, row["median"]) == (2, 200)  # a run is one joint stop
    assert one(comparison, "joint", "random", threshold=0.0).censored == 2
    assert one(comparison, "iterations", "random", threshold=0.5).n == 2 * N


@pytest.mark.parametrize(
    ("stopped", "joint", "known"), [("converged", False, 0), ("steps", False, 1), ("converged", True, 1)]
)
def test_joint_stop_is_unknown_where_problems_left_before_it(stopped, joint, known):
    record = run(joint=joint)
    record = replace(record, members=[replace(m, stopped=stopped) for m in record.members])
    rows = measures(record).measures
    joint_rows = rows[(rows.measure == "joint") & (rows.start == "random")]
    assert len(joint_rows[joint_rows.threshold == 0.5]) == 1  # was met while all were there
    assert len(joint_rows[joint_rows.threshold == 0.0]) == known


def test_censored_median_has_an_interval_that_may_be_open():
    row = one(measures(run(slow=9)), "iterations", "random", threshold=0.5)
    assert math.isfinite(row["median"]) and math.isfinite(row.low) and row.high == math.inf


def test_searchers_without_thresholds_get_no_empty_table():
    plain = run(thresholds=())
    bare = replace(plain, members=[replace(m, met=[]) for m in plain.members], joint={"random": [], "encoder": []})
    bare = replace(bare, tensors={"z": bare.tensors["z"], "z_met": torch.zeros(2 * N, 0, 4)})
    text = shown(measures(bare))
    assert "Steps until" not in text and "Final loss" in text and "Evaluations to a target" in text


def test_table_says_budget_region_decoding_starts_and_device():
    text = shown(measures(run(budget=301, region="box:3")))
    for said in ("301 evaluations", "box:3", "decoding teacher", "starts random, encoder", "cpu", "300 steps"):
        assert said in text


def test_searchers_that_share_a_name_are_told_apart():
    text = shown(measures(run(searcher="adam:lr=0.1,beta=0.9"), run(searcher="adam:lr=0.01,beta=0.9")))
    assert "adam lr=0.1 " in text and "adam lr=0.01" in text


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_table_is_wider_than_the_terminal_and_no_number_is_cropped(width):
    long = run(model=Model("nevae_se:reduction=sum,sample=false", "omniglot"))
    comparison = measures(run(), run(seed=1), long)
    text = shown(comparison, width)
    assert max(map(len, text.splitlines())) <= width
    everything = [t for part in tables.parts(comparison, "evaluations") for t in part.tables]
    numbers = [c.text for t in everything for row in t.rows for c in row if not isinstance(c.value, str)]
    printed = Counter(text.split())
    assert not Counter(" ".join(numbers).split()) - printed
    assert all(not Counter(t.caption.split()) - printed for t in everything)


@pytest.mark.parametrize("width", [30, 60, 80])
def test_columns_without_room_stand_below_with_the_names_of_their_rows(width):
    cells = [Cell("vae", "vae"), Cell("cmaes", "cmaes"), *(Cell(f"0.000{i} (0 .. 1)", i) for i in range(1, 9))]
    drawn = shown_table(Table("T", columns(MODEL, SEARCHER, *"abcdefgh"), [cells], "of eight"), width)
    blocks = drawn.split(terminal.CONTINUED)
    assert len(blocks) > 1 and all("vae" in block and "cmaes" in block for block in blocks)
    assert max(map(len, drawn.splitlines())) <= width
    assert [word for word in drawn.split() if word.startswith("0.000")] == [f"0.000{i}" for i in range(1, 9)]


def test_sign_stays_beside_its_number_and_a_long_name_goes_on_in_the_next_line():
    rows = [[Cell("vae" * 20, "vae"), Cell("< 0.0001", 0.0)]]
    drawn = shown_table(Table("T", columns(MODEL, "p"), rows), 30)
    assert "< 0.0001" in drawn and drawn.count("v") == drawn.count("a") == 20


def shown_table(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal.table(table))
    return console.export_text()


def shown(comparison, width=140):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables.terminal(comparison))
    return console.export_text()


@pytest.fixture
def folders(tmp_path):
    store = Store(tmp_path / "r")
    for r in (run(), run(seed=1), run(model=OTHER)):
        store.add(r)
    return [tmp_path / "r"]


def test_command_chooses_and_splits(folders, capsys):
    compare(folders, where=["model=vae", "seed.init>0"], csv=True)
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {r["model"] for r in rows} == {"vae"} and {r["n"] for r in rows if r["measure"] == "loss"} == {"20"}
    compare(folders, by=["seed.init"], no_traces=True, json=True)
    rows = json.loads(capsys.readouterr().out)["measures"]
    assert {r["seed.init"] for r in rows if r["model"] == "vae"} == {"0", "1"}
    assert not {r["measure"] for r in rows} & {"evaluations", "distance", "gap"}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"where": ["model"]}, "where: wanted a field"),
        ({"where": ["lr<much"]}, "where: lr< wants a number"),
        ({"by": ["modell"]}, "Did you mean 'model'"),
        ({"json": True, "latex": True}, "One of --json, --latex at a time"),
    ],
)
def test_command_explains_what_it_cannot_do(folders, how, says):
    with pytest.raises(UsageError, match=says):
        compare(folders, **how)


def test_what_is_flagged_or_skipped_fails_a_strict_comparison(folders, capsys):
    strict = {"where": ["seed.init=0"], "strict": True, "no_traces": True}
    compare(folders, **strict)
    for name in ("runs/stray\x1b[31m", "tmp/0123456789abcdef.host.1.x"):
        (folders[0] / name).mkdir()
        (folders[0] / name / "file").write_text("")
        with pytest.raises(typer.Exit) as flagged:
            compare(folders, **strict)
        assert flagged.value.exit_code == 3
    said = capsys.readouterr()
    assert "1 runs are in progress" in said.out and "skipped:" in said.err and "\x1b" not in said.err


def test_condition_that_holds_ends_with_status_5(folders, capsys):
    compare(folders, fail_if=["vae@random.loss > 99"], no_traces=True)
    with pytest.raises(typer.Exit) as held:
        compare(folders, fail_if=["vae@random.loss > 99", "nevae_se@random.loss >= vae@random.loss"], no_traces=True)
    assert held.value.exit_code == 5 and "holds (19.751, 19.75)" in capsys.readouterr().err


def test_what_a_run_took_is_the_median_of_runs():
    counts = [{"evaluations": e, "gradients": 0, "decodes": 2 * e} for e in (10, 20, 90)]
    seconds = [{"total": t} for t in (1.0, 2.0, 30.0)]
    runs = [replace(run(i), counts=c, seconds=s) for i, (c, s) in enumerate(zip(counts, seconds, strict=True))]
    (section,) = sections(measures(*runs))
    (row,) = costs(section).rows
    shown = {c.heading: cell.text for c, cell in zip(costs(section).columns, row, strict=True)}
    assert [shown[k] for k in ("evaluations", "gradients", "decoded images", "fit, s", "total, s")] == [
        *("20", "0", "40", "", "2.00")
    ]


def test_notes_name_the_settings_of_tasks_that_share_a_name():
    records = [run(task=f"ink:target=0.{i}", region=region) for i in (1, 2) for region in ("none", "box:3")]
    notes = [note for note in measures(*records).notes if "differ in search regions" in note]
    assert [note.partition(":")[0] for note in notes] == ["ink target=0.1", "ink target=0.2"]
