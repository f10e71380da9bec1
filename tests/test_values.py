"""Numbers of every size: shares stay shares, and no size of a number spoils a cell."""

import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from made import measures, searched
from rich.console import Console

from lso_bench.analysis.intervals import WIDEST, jackknife
from lso_bench.plotting.numbers import count, fixed, significant
from lso_bench.plotting.style import SIZES
from lso_bench.report import export, tables
from lso_bench.report.figures.variance import variance as variance_figure
from lso_bench.vae.trained_model import Model

MODELS = ("vae", "nevae_se", "beta_vae_0.9")


def runs(scale=1.0, tasks=3, cost=517):
    """Three models on some tasks and 6 instances, of costs and losses of very different sizes."""
    for t in range(tasks):
        for m, name in enumerate(MODELS):
            for seed in (0, 1):
                ways = [[scale * 10 ** (i - 1) * (9 + m + s) for s in (3, 2, seed)] for i in range(6)]
                run = searched({"random": ways}, init=seed, model=Model(name, "omniglot"), task=f"t{t}", cost=cost)
                counts = {"evaluations": 18 * cost * 10 ** (2 * m), "gradients": 12, "decodes": 15_000 * (m + 1)}
                yield replace(run, counts=counts, seconds={"total": 1234.5 * 10**m, "score": 0.0004})


@pytest.mark.parametrize("scale", [1e-38, 1e12, 1e37])
def test_numbers_of_every_size_fit_their_cells(scale):
    comparison = measures(*runs(scale, tasks=1))
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(tables.terminal(comparison))
    for text in (console.export_text(), tables.markdown(comparison), tables.latex(comparison)):
        assert not re.search(r"\d{16}", text) and "…" not in text and "nan" not in text


@pytest.mark.parametrize("value", [0.0, 1.5, -3.25, 999.4, 12345.6, -9e6, 4.3078e10, 1e15, -8.2e37, 1.7e308, 5e-324])
def test_formatted_numbers_are_short_and_read_back(value):
    for form in (lambda v: fixed(v, 2), count, significant):
        text = form(value)
        assert len(text) <= 19 and float(text.replace(",", "")) == pytest.approx(value, rel=0.05, abs=0.5)
    assert fixed(math.inf, 1) == "inf" and fixed(math.nan, 1) == "nan" and count(12_345) == "12,345"


@pytest.mark.parametrize("seed", range(12))
def test_shares_of_variance_and_their_intervals_stay_between_0_and_1(seed):
    rng = np.random.default_rng(seed)
    records = [
        searched({"random": [[9.0, float(np.exp(rng.normal(scale=3)))] for _ in range(5)]}, init=i, search=s)
        for i in range(2)
        for s in range(2)
    ]
    table = measures(*records).measures
    for r in table[table.measure.str.contains("share")].to_dict("records"):
        values = [r[k] for k in ("low", "estimate", "high") if not math.isnan(r[k])]
        assert all(0 <= v <= 1 for v in values) and values == sorted(values)
        assert not (r["low"] < 0.005 and r["high"] > 0.995)  # an interval that says nothing is none


def test_an_interval_too_wide_to_say_anything_is_none():
    """Two instances leave the jackknife one degree of freedom: 12.7 standard errors of a logarithm."""
    assert np.isnan(jackknife(1.0, np.array([0.01, 100.0]))).all()
    low, high = jackknife(1.0, np.array([0.9, 1.1, 1.0]))
    assert 1 / WIDEST < low < 1 < high < WIDEST


def test_figure_of_variances_is_drawn_for_scores_of_any_size():
    comparison = measures(*runs(1e37, tasks=1))
    rows = comparison.measures.assign(searcher_label="adam")
    assert variance_figure(rows, "variance", SIZES["screen"]) is not None


@pytest.mark.parametrize("scale", [1e37])
def test_json_of_a_comparison_is_strict_for_scores_of_any_size(scale):
    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(export.as_json(measures(*runs(scale, tasks=1))), parse_constant=refused)["measures"]
