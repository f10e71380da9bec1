"""Measures of records whose answers are known."""

import csv
import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lso_bench.compare import compare
from lso_bench.record import Member, Record
from lso_bench.report import tables
from lso_bench.spec import Seeds, Spec
from vae.zoo import Model

N = 20
SPEC = Spec(Model("vae", "omniglot"), "0" * 64, "omniglot50", "adam", max_steps=300, thresholds=(0.5, 0.0))


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
    return Record(mine, "ok", members, tensors={"z": codes, "z_met": at})


def measures(*records):
    by_key = {r.spec.key: r for r in records}
    return compare(records, lambda s: by_key[s.key].tensors)


def one(found, measure, start, threshold=None):
    m = found.measures
    rows = m[(m.measure == measure) & (m.start == start)]
    rows = rows[rows.threshold.isna()] if threshold is None else rows[rows.threshold == threshold]
    assert len(rows) == 1
    return rows.iloc[0]


def test_final_loss_has_its_order_statistics():
    row = one(measures(run()), "loss", "encoder")
    assert (row.n, row.censored) == (N, 0)
    assert row["median"] == row["mean"] == 19.5
    assert (row.q25, row.q75) == (14.0, 24.0)
    assert 14 < row.low < 19.5 < row.high < 25


def test_one_more_censored_search_never_lowers_the_median():
    half = measures(run(slow=0))
    worse = measures(run(slow=1))
    assert one(half, "iterations", "random", 0.5)["median"] == 150
    assert one(worse, "iterations", "random", 0.5)["median"] >= 150


def test_gap_and_squared_distance_of_two_starts():
    found, pair = measures(run()), "random - encoder"
    assert one(found, "gap", pair)["median"] == pytest.approx(0.25)
    assert one(found, "distance", pair)["median"] == 16.0  # 4 coordinates, 2 apart
    at = one(found, "distance", pair, 0.5)
    assert (at["median"], at.n, at.censored) == (4.0, N, 5)


def test_censored_searches_count_as_longer_than_all_others():
    few, most = measures(run(slow=5)), measures(run(slow=15))
    row = one(few, "iterations", "random", 0.5)
    assert (row.n, row.censored, row["median"]) == (N, 5, 200)
    assert math.isnan(row["mean"])  # never an average over those that finished
    assert one(most, "iterations", "random", 0.5)["median"] == math.inf
    assert one(few, "iterations", "random", 0.0).censored == N


def test_seeds_of_one_instance_are_not_independent():
    alone, thrice = measures(run()), measures(*(run(seed=s) for s in range(3)))
    a, b = one(alone, "loss", "encoder"), one(thrice, "loss", "encoder")
    assert b.n == 3 * N
    assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.25)


def test_interval_covers_the_median_as_often_as_it_says():
    from lso_bench.compare import _interval

    rng, hits, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        low, high = _interval(rng.lognormal(size=(50, 1)))
        hits += low <= 1.0 <= high  # the median of a standard lognormal
    assert abs(hits / trials - 0.95) < 0.03


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
        (run(model=Model("nevae_se", "omniglot"), region="box:3"), "search regions"),
        (run(model=Model("nevae_se", "omniglot"), seed=4), "same seeds"),
        (replace(run(model=Model("nevae_se", "omniglot")), versions={"data_sha256": "other"}), "data"),
        (run(seed=1, checkpoint="1" * 64), "different weights"),
        (replace(run(), versions={"data_sha256": "a", "trained_on_sha256": "b"}), "other pixels"),
    ],
)
def test_what_makes_runs_incomparable_is_said(other, says):
    assert any(says in n for n in measures(run(), other).notes)
    assert not measures(run(), run(model=Model("nevae_se", "omniglot"))).notes


def test_json_csv_and_table_give_the_same_figures():
    found = measures(run())
    rows = json.loads(tables.as_json(found))["measures"]
    table = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert len(rows) == len(table) == len(found.measures)
    gap = next(r for r in rows if r["measure"] == "gap")
    assert float(next(r for r in table if r["measure"] == "gap")["median"]) == gap["median"]
    from rich.console import Console

    console = Console(width=140, record=True, file=io.StringIO())
    console.print(tables.terminal(found))
    text = console.export_text()
    assert "> 300 (0/20)" in text and "200 (15/20)" in text and "16" in text


def test_json_has_null_where_most_were_censored():
    rows = json.loads(tables.as_json(measures(run(slow=15))))["measures"]
    row = next(r for r in rows if r["measure"] == "iterations" and r["threshold"] == 0.5)
    assert row["median"] is None and row["censored"] == 15


def test_hostile_names_are_neutral_in_tables_and_csv():
    found = measures(run(model=Model("=cmd|' /C calc'!A0", "omniglot"), task="[red]x"))
    assert "\n=cmd" not in tables.as_csv(found) and "'=cmd" in tables.as_csv(found)
    from rich.console import Console

    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables.terminal(found))
    assert "[red]x" in console.export_text()
