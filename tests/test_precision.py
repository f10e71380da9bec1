"""Searches in double precision: the same search, with differences that single precision rounds away."""

import numpy as np
import pytest

import lso_bench as lb
from lso_bench.errors import UsageError
from lso_bench.study.grid import Grid, Protocol, plan

ADAM = {"arch": "conv", "starts": ["random"], "max_steps": 40, "check_every": 10}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same searches in single and in double precision, as DataFrames with their losses."""
    folder = tmp_path_factory.mktemp("precision")
    studies = {p: lb.Study("vae", "glyphs50:instances=3", **ADAM, precision=p) for p in ("fp32", "fp64")}
    return {p: study.run(folder / p, quiet=True, isolation="none") for p, study in studies.items()}


def test_double_precision_resolves_what_single_rounds_away(both):
    losses = {p: results.searches.loss.to_numpy(float) for p, results in both.items()}
    is_single = {p: (values == values.astype(np.float32)).mean() for p, values in losses.items()}
    assert is_single == {"fp32": 1, "fp64": 0}


def test_both_precisions_take_the_same_way(both):
    a, b = (both[p].traces.sort_values(["instance", "step"]).loss.to_numpy(float) for p in ("fp32", "fp64"))
    assert a == pytest.approx(b, rel=1e-3)


def test_runs_in_both_precisions_have_rows_of_their_own_and_are_flagged(both):
    folders = [r.stores[0].folder for r in both.values()]
    compared = lb.load(*folders).compare()
    assert set(compared.final_loss.searcher) == {"adam fp32", "adam fp64"}
    assert any("differ in precision (as by default; fp64)" in note for note in compared.notes)


def test_default_precision_changes_no_key():
    grid = Grid(["vae"], ["glyphs50"], arch="conv")
    keys = [plan(grid, Protocol(precision=p))[0].spec.key for p in ("fp32", "fp64")]
    assert keys[0] == plan(grid)[0].spec.key != keys[1]


def test_judges_in_single_precision_score_a_search_in_double(tmp_path):
    study = lb.Study("vae", "match_classifier", "sobol", arch="conv", budget=5, precision="fp64")
    (record,) = study.run(tmp_path / "r", quiet=True).records
    assert record.status == "ok"


def test_other_precisions_are_refused():
    with pytest.raises(UsageError, match="No precision 'fp16'; there are 'fp32', 'fp64'"):
        plan(Grid(["vae"], ["glyphs50"], arch="conv"), Protocol(precision="fp16"))
