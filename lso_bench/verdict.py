"""Conditions on the measures of a comparison, for continuous integration: `nevae_se.iterations > vae.iterations`.

A side is a number, or `<model>[/<searcher>][@<start>].<measure>[at]`: the measure's estimate in the one row that this
names. `at` is the threshold of iterations, joint and distance, the target of steps, evaluations, seconds and aRT, or
the evaluations of an ecdf; left out, it is the lowest threshold, the end of a distance, the nearest target. Nothing is
evaluated but these two sides and their relation.
"""

import math
import re
from dataclasses import dataclass
from typing import cast

import pandas as pd

from lso_bench.compare import Comparison
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.searches import GROUP
from lso_bench.selection import RELATIONS

PATTERN = re.compile(r"(?P<left>.+?)\s*(?P<relation><=|>=|<|>)\s*(?P<right>.+)")
SIDE = re.compile(
    r"(?P<model>[^/@]+)(?:/(?P<searcher>[^@]+))?(?:@(?P<start>.+))?\.(?P<measure>[^.\[\]]+)(?:\[(?P<at>[^\]]+)\])?"
)
WANTED = "wanted '<model>[/<searcher>][@<start>].<measure> > <the same, or a number>'"
AT = ("threshold", "target", "within")


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds, and of which figures."""

    condition: str
    left: float
    right: float
    holds: bool

    def __str__(self) -> str:
        told = "holds" if self.holds else "does not hold"
        return f"{self.condition}: {told} ({self.left:g}, {self.right:g})"


def verdict(text: str, comparison: Comparison) -> Verdict:
    """Of a condition; of two that no search reached (both infinite) none is more than the other.

    Raises:
        UsageError: it is no such condition, names what is not there, or more than one row.
        UnusableError: a side has no estimate.
    """
    parts = PATTERN.fullmatch(text.strip())
    if not parts:
        raise UsageError(f"No condition {text!r}; {WANTED}.")
    left, right = (_side(parts[k], text, comparison.measures, comparison.by) for k in ("left", "right"))
    return Verdict(text.strip(), left, right, RELATIONS[parts["relation"]](left, right))


def _side(side: str, text: str, rows: pd.DataFrame, by: tuple[str, ...]) -> float:
    try:
        return float(side)
    except ValueError:
        pass
    parts = SIDE.fullmatch(side)
    if not parts:
        raise UsageError(f"No side {side!r} in {text!r}; {WANTED}.")
    for what in ("model", "searcher", "measure", "start"):
        if parts[what]:
            rows = _named(rows, what, parts[what])
    lines = cast(pd.DataFrame, rows[[*GROUP, *by, "start"]]).drop_duplicates()
    if len(lines) > 1:
        raise _several(side, lines)
    estimate = float(_at(rows, side, parts["at"]).estimate.iloc[0])
    if math.isnan(estimate):
        raise UnusableError(f"{side} has no estimate in these runs.")
    return estimate


def _named(rows: pd.DataFrame, what: str, name: str) -> pd.DataFrame:
    """Those of that name; of searchers also those that have it before their settings, if none has it in full."""
    full = rows[what].fillna("").astype(str)
    short = full.str.partition(":")[0] if what == "searcher" else full
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
