"""Measures of records whose answers are known."""

import csv
import io
import json
import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from made import SPEC, VERSIONS, measures, one, searched
from rich.console import Console

from lso_bench.record import Member, Record
from lso_bench.report import export, tables
from lso_bench.spec import Seeds
from vae.zoo import Model

N = 20


def run(seed=0, gap=0.25, apart=2.0, slow=5, **spec):
    """N instances from two starts, `gap` apart in loss and `apart` in each of 4 coordinates; the `slow` last
    instances meet threshold 0.5 never, the others at step 100 or 200 by turns; no one meets 0.
    """
    members = []
    for start, more in (("random", gap), ("encoder", 0.0)):
        for i in range(N):
            met = None if i >= N - slow else 100 * (1 + i % 2)
            members.append(
                Member(start, i, 50.0, 10.0 + i + more, 300, [met, None], 6.0, 10.0 + i + more, 301, "steps")
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
    found, pair = measures(run()), "random - encoder"
    assert one(found, "gap", pair)["median"] == pytest.approx(0.25)
    assert one(found, "distance", pair)["median"] == 16.0  # 4 coordinates, 2 apart
    at = one(found, "distance", pair, threshold=0.5)
    assert (at["median"], at.n, at.censored) == (4.0, N, 5)


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
    found = measures(run(), failed)
    assert any("failed" in n and "by zero" in n for n in found.notes)
    assert one(found, "loss", "random").n == N


def test_diverged_search_counts_as_worst():
    good = run()
    bad = replace(good, status="diverged", members=[replace(good.members[0], loss=math.nan), *good.members[1:]])
    found = measures(bad)
    row = one(found, "loss", "random")
    assert (row.n, row.censored) == (N, 1) and row["median"] >= 19.75
    assert any("diverged" in n for n in found.notes)
    gap = one(found, "gap", "random - encoder")
    assert (gap.n, gap.censored) == (N, 1)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (run(model=Model("nevae_se", "omniglot"), max_steps=999), "budgets"),
        (run(model=Model("nevae_se", "omniglot"), budget=301), "budgets"),
        (run(model=Model("nevae_se", "omniglot"), seconds=9.0), "time limits"),
        (run(model=Model("nevae_se", "omniglot"), region="box:3"), "search regions"),
        (run(model=Model("nevae_se", "omniglot"), decoding="mean"), "decoding"),
        (replace(run(model=Model("nevae_se", "omniglot")), versions={"device": "H100"}), "devices"),
        (replace(run(model=Model("nevae_se", "omniglot")), versions=VERSIONS | {"lso_bench": "9"}), "code versions"),
        (replace(run(model=Model("nevae_se", "omniglot")), counts={"fallbacks": 3}), "3 times"),
        (run(model=Model("nevae_se", "omniglot"), seed=4), "same seeds"),
        (replace(run(model=Model("nevae_se", "omniglot")), versions=VERSIONS | {"data_sha256": "other"}), "data"),
        (run(seed=1, checkpoint="1" * 64), "different weights"),
        (replace(run(), versions=VERSIONS | {"data_sha256": "a", "trained_on_sha256": "b"}), "other pixels"),
    ],
)
def test_what_makes_runs_incomparable_is_said(other, says):
    assert any(says in n for n in measures(run(), other).notes)
    assert not measures(run(), run(model=Model("nevae_se", "omniglot"))).notes


def test_json_csv_and_table_give_the_same_figures():
    found = measures(run())
    rows = json.loads(export.as_json(found))["measures"]
    table = list(csv.DictReader(io.StringIO(export.as_csv(found))))
    assert len(rows) == len(table) == len(found.measures)
    gap = next(r for r in rows if r["measure"] == "gap")
    assert float(next(r for r in table if r["measure"] == "gap")["median"]) == gap["median"]
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(tables.terminal(found))
    text = console.export_text()
    assert "> 300 (0/20)" in text and "200 (15/20)" in text and "16" in text


def test_json_has_null_where_most_were_censored():
    rows = json.loads(export.as_json(measures(run(slow=15))))["measures"]
    row = next(r for r in rows if r["measure"] == "iterations" and r["threshold"] == 0.5)
    assert row["median"] is None and row["censored"] == 15


@pytest.mark.parametrize(
    ("cost", "title", "first"), [("steps", "Steps", "3 / 3"), ("seconds", "Seconds (of", "1.5 / 1.5")]
)
def test_way_to_a_target_is_counted_as_asked(cost, title, first):
    found = measures(searched({"random": [[9.0, 9.0, 9.0, 1.0]] * 3}))  # half a second a step
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(tables.terminal(found, cost))
    table = console.export_text().partition(f"{title}")[2]
    assert "to a target loss" in table and first in table


def test_losses_that_are_all_the_same_have_no_shares_of_variance():
    same = [replace(r, members=[replace(m, loss=10.0) for m in r.members]) for r in (run(), run(seed=1))]
    console = Console(width=300, record=True, file=io.StringIO())
    console.print(tables.terminal(measures(*same)))
    text = console.export_text()
    assert "nothing varies" in text and "nan" not in text and "()" not in text


def test_hostile_names_are_neutral_in_tables_and_csv():
    found = measures(run(model=Model("=cmd|' /C calc'!A0", "omniglot"), task="[red]x"))
    assert "\n=cmd" not in export.as_csv(found) and "'=cmd" in export.as_csv(found)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables.terminal(found))
    assert "[red]x" in console.export_text()


def test_results_do_not_depend_on_the_order_of_the_records():
    runs = [run(seed=s, model=Model(m, "omniglot")) for s in range(3) for m in ("vae", "nevae_se")]
    there, back = measures(*runs), measures(*reversed(runs))
    pd.testing.assert_frame_equal(there.measures, back.measures)
    assert there.notes == back.notes


def test_runs_on_different_devices_are_not_pooled():
    found = measures(run(), replace(run(seed=1), versions={"device": "H100"}))
    rows = found.measures[(found.measures.measure == "loss") & (found.measures.start == "random")]
    assert sorted(rows.device) == ["H100", "cpu"] and set(rows.n) == {N}


def test_joint_stop_stands_beside_the_single_ones():
    found = measures(run(seed=0), run(seed=1))
    row = one(found, "joint", "random", threshold=0.5)
    assert (row.n, row["median"]) == (2, 200)  # a run is one joint stop
    assert one(found, "joint", "random", threshold=0.0).censored == 2
    assert one(found, "iterations", "random", threshold=0.5).n == 2 * N


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


@pytest.mark.parametrize("width", [100, 140])
def test_no_table_is_wider_than_the_terminal(width):
    long = run(model=Model("nevae_se:reduction=sum,sample=false", "omniglot"))
    assert max(map(len, shown(measures(run(), long), width).splitlines())) <= width


def shown(found, width=140):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tables.terminal(found))
    return console.export_text()
