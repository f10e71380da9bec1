"""A comparison as tables in the terminal, as JSON and as CSV."""

import json
import math
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lso_bench.compare import GROUP, Comparison

WITHIN = [c for c in GROUP if c != "model"]


def terminal(comparison: Comparison) -> RenderableType:
    """Three tables for each group of runs that differ in the model alone, and the notes."""
    parts: list[RenderableType] = []
    for key, rows in comparison.measures.groupby(WITHIN, dropna=False, sort=False):
        named: dict[str, Any] = dict(zip(WITHIN, cast(tuple, key), strict=True))
        most = int(np.nanmin([named["max_steps"], named["budget"] or np.nan]))  # a step is an evaluation or more
        parts += [Text(_title(named), style="bold"), _losses(rows), _iterations(rows, most)]
        parts += [_pairs(rows)]
    parts += [Text(f"! {note}", style="yellow") for note in comparison.notes]
    return Group(*parts)


def as_json(comparison: Comparison) -> str:
    """All measures and notes; an infinite value (most searches censored) or an undefined one is null."""
    rows = [{k: _plain(v) for k, v in row.items()} for row in comparison.measures.to_dict("records")]
    return json.dumps({"measures": rows, "notes": comparison.notes}, indent=1, allow_nan=False)


def as_csv(comparison: Comparison) -> str:
    """One row a measure; an empty cell is an undefined value, inf one that most searches did not reach.

    A text that a spreadsheet would run as a formula is given a quote first.
    """
    return comparison.measures.map(lambda v: f"'{v}" if isinstance(v, str) and v[:1] in "=+-@" else v).to_csv(
        index=False
    )


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value  # pyright: ignore[reportAttributeAccessIssue]


def _title(named: dict) -> str:
    budget = "" if pd.isna(named["budget"]) else f", {named['budget']:g} evaluations"
    model = f"{named['arch']}, d = {named['latent']}"
    return f"\n{named['task']} · {named['searcher']} · {model} · at most {named['max_steps']} steps{budget} · " + (
        f"region {named['region']} · decoding {named['decoding']}"
    )


def _losses(rows: pd.DataFrame) -> Table:
    table = _table(
        "Final loss (minus the score)", "model", "start", "n", "median", "95 % interval", "quartiles", "mean"
    )
    table.add_column("|z|, median", justify="right")
    norms = rows[rows.measure == "norm"].set_index(["model", "start"])["median"]
    for r in _of(rows, "loss"):
        table.add_row(*_head(r), *_spread(r), f"{norms[r['model'], r['start']]:.1f}")
    return table


def _iterations(rows: pd.DataFrame, most: int) -> Table:
    thresholds = sorted(rows.threshold.dropna().unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n)"
    table = _table(title, "model", "start", *(f"{t:g}" for t in thresholds))
    for key, line in rows[rows.measure == "iterations"].groupby(["model", "start"], sort=False):
        model, start = cast(tuple[str, str], key)
        by = line.set_index("threshold").to_dict("index")
        table.add_row(escape(model), escape(start), *(_steps(by[t], most) for t in thresholds))
    return table


def _pairs(rows: pd.DataFrame) -> Table:
    title = "Between the two starts of an image: gap of the losses, squared distance of the codes"
    table = _table(title, "model", "measure", "n", "median", "95 % interval", "quartiles", "mean")
    for measure, label in (("gap", "gap, end"), ("distance", "distance")):
        for r in _of(rows, measure):
            t = r["threshold"]
            where = label if measure == "gap" else f"{label}, end" if pd.isna(t) else f"{label}, at {t:g}"
            n = f"{r['n'] - r['censored']} of {r['n']}"
            if r["censored"] < r["n"]:
                table.add_row(escape(r["model"]), where, n, *_spread(r))
            else:
                table.add_row(escape(r["model"]), where, n, "none met it")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="italic")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    return table


def _of(rows: pd.DataFrame, measure: str) -> Iterator[dict]:
    yield from cast(pd.DataFrame, rows[rows.measure == measure]).to_dict("records")


def _head(row: dict) -> tuple[str, str, str]:
    return escape(row["model"]), escape(row["start"]), str(row["n"])


def _spread(row: dict) -> tuple[str, str, str, str]:
    interval = "" if math.isnan(row["low"]) else f"{row['low']:.3g} .. {row['high']:.3g}"
    mean = "" if math.isnan(row["mean"]) else f"{row['mean']:.4g}"  # none where a search was lost
    return f"{row['median']:.4g}", interval, f"{row['q25']:.3g} .. {row['q75']:.3g}", mean


def _steps(row: dict, most: int) -> str:
    median = f"> {most}" if math.isinf(row["median"]) else f"{row['median']:g}"
    return f"{median} ({row['n'] - row['censored']}/{row['n']})"
