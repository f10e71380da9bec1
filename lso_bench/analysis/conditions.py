"""Conditions on the measures of a comparison, for continuous integration: `nevae_se.iterations > vae.iterations`.

A side is a number, or `<model>[/<searcher>][@<start>].<measure>[at]`: the estimate of that measure in the one row that
matches. `at` is the threshold of iterations, joint and distance, the target of steps, evaluations, seconds and aRT, or
the evaluations of an ecdf. Without it, the lowest threshold, the end of a distance or the nearest target is taken.
Nothing but the two sides and their relation is evaluated.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.fields import RELATIONS
from lso_bench.analysis.table import GROUP_KEYS, start_order
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.plugins.notation import name_of

PATTERN = re.compile(r"(?P<left>.+?)\s*(?P<relation><=|>=|<|>)\s*(?P<right>.+)")
MODEL = r"[^/@]+"
REST = r"(?:/(?P<searcher>[^@]+))?(?:@(?P<start>.+))?\.(?P<measure>[^.\[\]]+)(?:\[(?P<at>[^\]]+)\])?"
SYNTAX = "wanted '<model>[/<searcher>][@<start>].<measure> > <the same, or a number>'"
SHORT: dict[str, Callable[[str], str]] = {"searcher": name_of, "model": lambda name: name.partition(" (")[0]}
AT = ("threshold", "target", "within")


@dataclass(frozen=True)
class Verdict:
    """The result of a condition, with the two values that were compared."""

    condition: str
    left: float
    right: float
    holds: bool
    start: str = ""  # kind of start that was taken, if the condition names none and there are several

    def __str__(self) -> str:
        outcome = "holds" if self.holds else "does not hold"
        start_note = (
            f"; of several kinds of start {self.start} was taken (say @<start> for another)" if self.start else ""
        )
        return f"{self.condition}: {outcome} ({self.left:g}, {self.right:g}){start_note}"


def verdict(text: str, comparison: Comparison) -> Verdict:
    """Evaluate a condition on a comparison.

    Two infinite values (no search reached either) are equal. The rows of a side may differ in the kind of start alone.
    Then the first kind that both sides have is taken, in the order of `lso_bench.analysis.table.start_order`.

    Raises:
        UsageError: the text is no condition, names what does not exist, or matches more than one row.
        UnusableError: a side has no estimate.
    """
    parts = PATTERN.fullmatch(text.strip())
    if not parts:
        raise UsageError(f"No condition {text!r}; {SYNTAX}.")
    sides = [_side(parts[k], text, comparison.measures) for k in ("left", "right")]
    start = _start(sides)
    left, right = (_estimate(s, start, comparison.by) for s in sides)
    return Verdict(text.strip(), left, right, RELATIONS[parts["relation"]](left, right), start)


@dataclass(frozen=True)
class _Side:
    """A number, or the matching rows with a threshold, target or number of evaluations."""

    text: str
    number: float = math.nan
    rows: pd.DataFrame | None = None  # None: a number
    at: str | None = None

    @property
    def starts(self) -> set[str]:
        return set() if self.rows is None else {*self.rows.start.dropna()}


def _side(side: str, text: str, rows: pd.DataFrame) -> _Side:
    try:
        return _Side(side, float(side))
    except ValueError:
        pass
    parts = _parsed(side, rows)
    if not parts:
        raise UsageError(f"No side {side!r} in {text!r}; {SYNTAX}.")
    for column in ("model", "searcher", "measure", "start"):
        if parts[column]:
            rows = _rows_named(rows, column, parts[column])
    return _Side(side, rows=rows, at=parts["at"])


def _parsed(side: str, rows: pd.DataFrame) -> re.Match[str] | None:
    """Return the parts of a side; the name of a model may be a path, with slashes and dots."""
    known = sorted({*rows.model}, key=len, reverse=True)
    matches = (re.fullmatch(f"(?P<model>{model}){REST}", side) for model in (*map(re.escape, known), MODEL))
    return next(filter(None, matches), None)


def _start(sides: Sequence[_Side]) -> str:
    """Return the first kind of start that all sides with rows have, if any has several; empty otherwise."""
    starts = [s.starts for s in sides if s.starts]
    if max(map(len, starts), default=0) < 2:
        return ""
    return min(set.intersection(*starts), key=start_order, default="")


def _estimate(side: _Side, start: str, by: tuple[str, ...]) -> float:
    """Return the estimate of a side's only row; among several kinds of start, that of `start`."""
    if (rows := side.rows) is None:
        return side.number
    lines = cast(pd.DataFrame, rows[[*GROUP_KEYS, *by, "start"]]).drop_duplicates()
    if len(lines) > 1:
        if not start or len(lines.drop(columns="start").drop_duplicates()) > 1:
            raise _ambiguous(side.text, lines)
        rows = cast(pd.DataFrame, rows[rows.start == start])
    estimate = float(_row_at(rows, side.text, side.at).estimate.iloc[0])
    if math.isnan(estimate):
        raise UnusableError(f"{side.text} has no estimate in these runs.")
    return estimate


def _rows_named(rows: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """Return the rows of a name; if no full name matches, of a short one.

    A searcher may be named without its settings, a model without the architecture in brackets (`united`).
    """
    full_names = rows[column].fillna("").astype(str)
    short_names = full_names.map(SHORT.get(column, str))
    for names in (full_names, short_names):
        if bool((names == name).any()):
            return cast(pd.DataFrame, rows[names == name])
    raise unknown(column, name, sorted({*full_names, *short_names} - {""}))


def _row_at(rows: pd.DataFrame, side: str, at: str | None) -> pd.DataFrame:
    """Return the row at a threshold, target or number of evaluations."""
    column = next((c for c in AT if bool(rows[c].notna().any())), None)
    if at is None and (column is None or bool(rows[column].isna().any())):
        return rows if column is None else cast(pd.DataFrame, rows[rows[column].isna()])
    if column is None:
        raise UsageError(f"{side}: that measure is not taken at several thresholds or targets; leave [{at}] out.")
    if at is None:
        return cast(pd.DataFrame, rows[rows[column] == rows[column].min()])
    available = [f"{x:g}" for x in sorted(rows[column].dropna().unique())]
    if at not in available:
        raise unknown(column, at, available)
    return cast(pd.DataFrame, rows[rows[column] == float(at)])


def _ambiguous(side: str, lines: pd.DataFrame) -> UsageError:
    """Return an error that says in what the rows differ, and how to choose one."""
    differences = []
    for c in lines.columns:
        if len(values := sorted({repr(str(v)[:40]) for v in lines[c]})) > 1:
            option = {"searcher": "/<searcher>", "start": "@<start>"}.get(c, f"--where {c}=...")
            differences.append(f"{c} ({', '.join(values[:4])}; say {option})")
    return UsageError(f"{side} names {len(lines)} rows, which differ in {'; '.join(differences)}.")
