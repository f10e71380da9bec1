"""Pairs of starts, basins and spread of searches made by hand."""

import math
from itertools import product

import numpy as np
import pytest
from made import SPEC, measures, one, searched

from lso_bench.analysis import start_sensitivity
from lso_bench.analysis.start_sensitivity import pairs, search_seed_follows_init
from lso_bench.analysis.table import table
from lso_bench.vae.trained_model import Model

FLAT = [[9.0, 5.0]] * 4


def kinds(*records):
    return pairs(table(records)).kind.value_counts().to_dict()


def test_pairs_are_of_the_same_instance_model_and_settings_alone():
    runs = [searched({"random": FLAT, "encoder": FLAT}, model=Model("vae", "omniglot", seed=s)) for s in (0, 1)]
    positions = pairs(table(runs))
    rows = table(runs)
    a, b = rows.iloc[positions.a], rows.iloc[positions.b]
    assert len(positions) == 2 * 4
    for column in ("instance", "train", "search"):
        assert (a[column].to_numpy() == b[column].to_numpy()).all()


def test_random_starts_of_several_init_seeds_are_pairs_too():
    runs = [searched({"random": FLAT, "encoder": FLAT}, init=i, search=0) for i in range(3)]
    assert kinds(*runs) == {"random - random": 4 * 3, "random - encoder": 4 * 3}


def test_a_start_that_is_not_drawn_is_never_a_pair_with_itself():
    runs = [searched({"encoder": FLAT}, init=i, search=0) for i in range(3)]
    assert kinds(*runs) == {}
    assert kinds(*(searched({"encoder:3": FLAT}, init=i, search=0) for i in range(2))) == {"encoder:3 - encoder:3": 4}


def test_pairs_share_the_search_seed_where_it_can_be_held():
    runs = [searched({"random": FLAT}, init=i, search=s) for i in (0, 1) for s in (0, 1)]
    assert not search_seed_follows_init(table(runs)) and kinds(*runs) == {"random - random": 4 * 2}


def test_where_the_search_seed_moves_with_the_start_random_starts_are_paired_across():
    runs = [searched({"random": FLAT, "encoder": FLAT}, init=i) for i in range(3)]
    assert search_seed_follows_init(table(runs)) and kinds(*runs) == {
        "random - random": 4 * 3,
        "random - encoder": 4 * 3,
    }


@pytest.mark.parametrize(
    ("far", "gap", "share"),
    [(0.05, 0.0, 1.0), (0.05, 0.04, 1.0), (0.05, 0.06, 0.0), (0.15, 0.0, 0.0)],  # of 5.0, one in a hundred is 0.05
)
def test_same_basin_is_near_in_code_and_in_loss(far, gap, share):
    run = searched({"random": FLAT, "encoder": [[9.0, 5.0 + gap]] * 4}, lambda s, i: (far * (s == "random"),) * 2)
    assert one(measures(run), "basin", "random - encoder").estimate == share  # a tenth in each of 2 coordinates


def test_losses_beside_an_optimum_of_0_are_of_one_basin():
    run = searched({"random": [[9.0, 1e-9]] * 4, "encoder": [[9.0, 2e-9]] * 4})
    assert one(measures(run), "basin", "random - encoder").estimate == 1.0


def test_basin_share_is_the_share_of_pairs():
    run = searched({"random": FLAT, "encoder": FLAT}, lambda s, i: (float(s == "random" and i == 0), 0.0))
    row = one(measures(run), "basin", "random - encoder")
    assert (row.n, row.estimate) == (4, 0.75) and row.low < 0.75 <= row.high


def test_all_in_the_same_basin_is_not_certainty():
    row = one(measures(searched({"random": FLAT, "encoder": FLAT})), "basin", "random - encoder")
    assert (row.estimate, row.high) == (1.0, 1.0)
    assert 0 < row.low < 0.025 ** (1 / 4)  # Clopper and Pearson's of 4 in 4


def test_spread_is_the_standard_deviation_over_starts_and_counts_each_once():
    runs = [searched({"random": [[9.0, x]], "encoder": [[9.0, 4.0]]}, init=i) for i, x in enumerate((1.0, 2.0, 3.0))]
    comparison = measures(*runs)
    assert one(comparison, "spread", "random, encoder")["median"] == pytest.approx(np.std([1, 2, 3, 4], ddof=1))
    assert one(comparison, "spread", "random")["median"] == pytest.approx(1.0)


def test_spread_over_starts_of_which_one_diverged_is_not_that_of_the_others():
    runs = [searched({"random": [[9.0, x], [9.0, x]]}, init=i) for i, x in enumerate((1.0, 2.0))]
    runs.append(searched({"random": [[9.0, math.nan], [9.0, 3.0]]}, init=2))
    row = one(measures(*runs), "spread", "random")
    assert (row.n, row.censored, row["median"]) == (2, 1, pytest.approx(1.0))


def test_pair_with_a_diverged_search_is_in_no_basin():
    run = searched({"random": [[9.0, math.nan], *FLAT[1:]], "encoder": FLAT})
    row = one(measures(run), "basin", "random - encoder")
    assert (row.n, row.censored, row.estimate) == (4, 1, 0.75)


def test_thresholds_of_the_spec_are_those_measured():
    rows = measures(searched({"random": FLAT, "encoder": FLAT})).measures
    assert set(rows[rows.measure == "distance"].threshold.dropna()) == set(SPEC.thresholds)


@pytest.mark.parametrize(("inits", "searches", "paired"), [(15, None, 45), (5, 8, 4 * 10), (15, 3, 45)])
def test_pairs_do_not_grow_with_the_square_of_very_many_seeds(monkeypatch, inits, searches, paired):
    """Pairs are of the lowest seeds."""
    monkeypatch.setattr(start_sensitivity, "COMBINED", 100)
    seeds = [(i, i) for i in range(inits)] if searches is None else [*product(range(inits), range(searches))]
    rows = table([searched({"random": [[9.0, 5.0]]}, init=i, search=s) for i, s in seeds])
    positions = pairs(rows)
    assert len(positions) == paired
    assert rows.init.iloc[positions.b].max() == min(inits, 10) - 1
