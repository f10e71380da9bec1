"""Conditions on the measures of a comparison, for continuous integration: `nevae_se.iterations > vae.iterations`.

A side is a number, or `<model>[/<searcher>][@<start>].<measure>[at]`: the measure's estimate in the one row that this
names. `at` is the threshold of iterations, joint and distance, the target of steps, evaluations, seconds and aRT, or
the evaluations of an ecdf; left out, it is the lowest threshold, the end of a distance, the nearest target. Nothing is
evaluated but these two sides and their relation.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.fields import RELATIONS
from lso_bench.analysis.table import GROUP_KEYS, start_order
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.vae.notation import name_of

PATTERN = re.compile(r"(?P<left>.+?)\s*(?P<relation><=|>=|<|>)\s*(?P<right>.+)")
SIDE = re.compile(
    r"(?P<model>[^/@]+)(?:/(?P<searcher>[^@]+))?(?:@(?P<start>.+))?\.(?P<measure>[^.\[\]]+)(?:\[(?P<at>[^\]]+)\])?"
)
SYNTAX = "wanted '<model>[/<searcher>][@<start>].<measure> > <the same, or a number>'"
AT = ("threshold", "target", "within")


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds, and of which figures."""

    condition: str
    left: float
    right: float
    holds: bool
    start: str = ""  # the kind of start that was taken, where the condition names none and there are several

    def __str__(self) -> str:
        told = "holds" if self.holds else "does not hold"
        taken = f"; of several kinds of start {self.start} was taken (say @<start> for another)" if self.start else ""
        return f"{self.condition}: {told} ({self.left:g}, {self.right:g}){taken}"


def verdict(text: str, comparison: Comparison) -> Verdict:
    """Of a condition; of two that no search reached (both infinite) none is more than the other.

    Where the rows that a side names differ in nothing but the kind of start, they are of the first kind (in the order
    of `lso_bench.analysis.table.start_order`) that both sides have.

    Raises:
        UsageError: it is no such condition, names what is not there, or more than one row.
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
    """A number, or the rows that are named, and at which threshold, target or number of evaluations."""

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
    parts = SIDE.fullmatch(side)
    if not parts:
        raise UsageError(f"No side {side!r} in {text!r}; {SYNTAX}.")
    for what in ("model", "searcher", "measure", "start"):
        if parts[what]:
            rows = _named(rows, what, parts[what])
    return _Side(side, rows=rows, at=parts["at"])


def _start(sides: Sequence[_Side]) -> str:
    """The first kind of start that all sides with rows have, if any of them has several; empty: there is none."""
    there = [s.starts for s in sides if s.starts]
    if max(map(len, there), default=0) < 2:
        return ""
    return min(set.intersection(*there), key=start_order, default="")


def _estimate(side: _Side, start: str, by: tuple[str, ...]) -> float:
    """Its figure in the one row that it names; of several kinds of start, in that of `start`."""
    if (rows := side.rows) is None:
        return side.number
    lines = cast(pd.DataFrame, rows[[*GROUP_KEYS, *by, "start"]]).drop_duplicates()
    if len(lines) > 1:
        if not start or len(lines.drop(columns="start").drop_duplicates()) > 1:
            raise _several(side.text, lines)
        rows = cast(pd.DataFrame, rows[rows.start == start])
    estimate = float(_at(rows, side.text, side.at).estimate.iloc[0])
    if math.isnan(estimate):
        raise UnusableError(f"{side.text} has no estimate in these runs.")
    return estimate


def _named(rows: pd.DataFrame, what: str, name: str) -> pd.DataFrame:
    """Those of that name; of searchers also those that have it before their settings, if none has it in full."""
    full = rows[what].fillna("").astype(str)
    short = full.map(name_of) if what == "searcher" else full
    for texts in (full, short):
        if bool((texts == name).any()):
            return cast(pd.DataFrame, rows[texts == name])
    raise unknown(what, name, sorted({*full, *short} - {""}))


def _at(rows: pd.DataFrame, side: str, at: str | None) -> pd.DataFrame:
    """The row of a line at a threshold, target or number of evaluations."""
    column = next((c for c in AT if bool(rows[c].notna().any())), None)
    if at is None and (column is None or bool(rows[column].isna().any())):
        return rows if column is None else cast(pd.DataFrame, rows[rows[column].isna()])
    if column is None:
        raise UsageError(f"{side}: that measure is not taken at several thresholds or targets; leave [{at}] out.")
    if at is None:
        return cast(pd.DataFrame, rows[rows[column] == rows[column].min()])
    there = [f"{x:g}" for x in sorted(rows[column].dropna().unique())]
    if at not in there:
        raise unknown(column, at, there)
    return cast(pd.DataFrame, rows[rows[column] == float(at)])


def _several(side: str, lines: pd.DataFrame) -> UsageError:
    """Says in what they differ, and how to name one."""
    told = []
    for c in lines.columns:
        if len(values := sorted({repr(str(v)[:40]) for v in lines[c]})) > 1:
            how = {"searcher": "/<searcher>", "start": "@<start>"}.get(c, f"--where {c}=...")
            told.append(f"{c} ({', '.join(values[:4])}; say {how})")
    return UsageError(f"{side} names {len(lines)} rows, which differ in {'; '.join(told)}.")
