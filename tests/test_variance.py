"""Components of variance that are known, found again."""

import math

import numpy as np
import pandas as pd
import pytest
from made import measures, one, searched

from lso_bench.analysis.variance import decomposition
from lso_bench.vae.trained_model import Model

SIZES = {"train": 3, "instance": 30, "init": 4, "search": 3}


def design(rng, sizes=SIZES, target=2.0, train=0.0, start=0.5, search=0.3):
    """Crossed searches: loss = target + train x target + start x target + search x everything, each of that sd."""
    t, i, s, r = sizes.values()
    loss = (
        rng.normal(scale=target, size=(1, i, 1, 1))
        + rng.normal(scale=train, size=(t, i, 1, 1))
        + rng.normal(scale=start, size=(1, i, s, 1))
        + rng.normal(scale=search, size=(t, i, s, r))
    )
    index = np.indices(loss.shape).reshape(4, -1)
    table = pd.DataFrame(
        dict(zip(SIZES, index, strict=True)) | {"loss": loss.flatten(), "weights": "", "start": "random"}
    )
    return table.assign(start_id=table.init.map("random {}".format))


def components(table):
    return {r["measure"].removeprefix("variance:"): r for r in decomposition(table) if "share" not in r["measure"]}


def test_closed_form_of_two_starts_and_two_instances():
    """Losses 0, 2 and 10, 14: over starts variances 2 and 8; of pairs that differ in both the half squares are 98 and
    32; so targets have 65 - 5.
    """
    runs = [
        searched({"random": [[99.0, a], [99.0, b]]}, init=i, search=0)
        for i, (a, b) in enumerate(((0.0, 10.0), (2.0, 14.0)))
    ]
    m = measures(*runs)
    assert one(m, "variance:start").estimate == pytest.approx(5.0)
    assert one(m, "variance:target").estimate == pytest.approx(60.0)
    assert one(m, "variance:total").estimate == pytest.approx((98 + 32) / 2)
    assert one(m, "variance share:start").estimate == pytest.approx(5.0 / 65.0)


def test_estimates_are_unbiased():
    """Total effects: start 0.5^2 + 0.3^2, search 0.3^2, train 0.4^2 + 0.3^2; target 2^2, the first order."""
    rng = np.random.default_rng(0)
    runs = [components(design(rng, SIZES | {"instance": 12, "init": 3, "search": 2}, train=0.4)) for _ in range(60)]
    expected = {"search seed": 0.09, "start": 0.34, "train seed": 0.25, "target": 4.0, "total": 4.5}
    for factor, value in expected.items():
        estimates = np.array([r[factor]["estimate"] for r in runs])
        assert abs(estimates.mean() - value) < 3.5 * estimates.std() / math.sqrt(len(runs)), factor


def test_estimates_are_unbiased_where_searches_are_missing():
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(60):
        table = design(rng, SIZES | {"instance": 10})
        estimates.append(components(table[rng.random(len(table)) < 0.6].copy())["start"]["estimate"])
    assert abs(np.mean(estimates) - 0.34) < 3.5 * np.std(estimates) / math.sqrt(len(estimates))


def test_factor_of_one_level_has_no_number():
    rows = components(design(np.random.default_rng(3), SIZES | {"init": 1}))
    assert math.isnan(rows["start"]["estimate"]) and rows["start"]["n"] == 1


def test_search_seed_that_moves_with_the_start_is_not_told_from_it():
    runs = [searched({"random": [[9.0, 5.0 + i], [9.0, 7.0]]}, init=i) for i in range(3)]
    rows = set(measures(*runs).measures.measure)
    assert "variance:start and search seed" in rows
    assert not rows & {"variance:start", "variance:search seed"}


def test_train_seeds_are_a_factor():
    runs = [searched({"random": [[9.0, 5.0 + 2 * s]] * 2}, model=Model("vae", "omniglot", seed=s)) for s in (0, 1)]
    assert one(measures(*runs), "variance:train seed").estimate == pytest.approx(2.0)


def test_diverged_searches_leave_the_others_a_variance():
    runs = [searched({"random": [[9.0, 5.0 + i], [9.0, math.nan]]}, init=i, search=0) for i in range(2)]
    assert one(measures(*runs), "variance:start").estimate == pytest.approx(0.5)


def test_what_random_starts_decide_is_not_the_targets():
    """Each target has random starts of its own: losses that depend on the start alone have no effect of the target."""
    rng = np.random.default_rng(4)
    estimates = [
        components(design(rng, SIZES | {"train": 1}, target=0.0, start=1.0))["target"]["estimate"] for _ in range(60)
    ]
    assert abs(np.mean(estimates)) < 3.5 * np.std(estimates) / math.sqrt(len(estimates))


def test_target_is_not_told_from_the_rest_where_nothing_else_varies():
    rows = components(design(np.random.default_rng(5), {"train": 1, "instance": 30, "init": 1, "search": 1}))
    assert math.isnan(rows["target"]["estimate"]) and rows["total"]["estimate"] > 0


def test_training_seeds_have_no_interval():
    row = components(design(np.random.default_rng(6), train=0.4))["train seed"]
    assert row["estimate"] > 0 and math.isnan(row["low"]) and math.isnan(row["high"])


def test_searches_without_a_finite_loss_are_counted():
    table = design(np.random.default_rng(7))
    table.loc[table.index[:10], "loss"] = math.inf
    assert (components(table)["total"]["n"], components(table)["total"]["censored"]) == (len(table) - 10, 10)


def test_what_no_pair_of_searches_shows_is_undefined():
    """Factors changed one at a time: no two searches of the others' targets differ in all of them."""
    table = design(np.random.default_rng(8), SIZES | {"train": 2, "init": 2, "search": 2}, train=0.4)
    alone = (table.train + table.init + table.search) <= 1
    assert math.isnan(components(table[alone].copy())["total"]["estimate"])
