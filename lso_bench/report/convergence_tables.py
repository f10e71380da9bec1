"""Tables of the steps to thresholds, and of the cost of target losses."""

import math
from typing import Any

from lso_bench.report.cells import EMPTY, rounded, share, word
from lso_bench.report.row_heads import key, row_dicts, row_key
from lso_bench.report.sections import Section, not_met
from lso_bench.report.table import MODEL, SEARCHER, START, Cell, Column, Table, columns

LOWEST_LOSS = {"task": "that any compared search reached", "model": "that any search in the same trained model reached"}


def thresholds(section: Section) -> Table:
    """Return the steps to each threshold: of single searches, and of the mean over the searches of a start."""
    measures = section.measures[section.measures.measure.isin(["iterations", "joint"])]
    limits = sorted(measures.threshold.unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n searches or joint stops)"
    caption = (
        "∞: most did not, within a budget or a time limit; empty: not known, for problems left before the mean met it"
    )
    rows = []
    for _, line in measures.groupby(["model", "searcher_label", "start", "measure"], sort=False):
        by_threshold = {r["threshold"]: r for r in row_dicts(line)}
        first = next(iter(by_threshold.values()))
        stop = word("single" if first["measure"] == "iterations" else "joint")
        cells = (_steps(by_threshold[t]) if t in by_threshold else EMPTY for t in limits)
        rows.append([*row_key(first), stop, *cells])
    header = columns(MODEL, SEARCHER, START, Column("stop", is_text=True, is_key=True), *(f"{t:g}" for t in limits))
    return Table(title, header, rows, caption, "Steps to converge")


def targets(section: Section, within: str, cost: str) -> Table:
    """Return the cost of each target loss.

    Args:
        within: whose searches set the lowest target, a key of LOWEST_LOSS.
        cost: unit, one of `lso_bench.analysis.convergence.COSTS`.
    """
    costs_to_targets, times = section.rows(cost), section.rows(f"aRT:{cost}")
    fractions = sorted(costs_to_targets.target.unique(), reverse=True)
    expected = {(*key(r), r["target"]): r["estimate"] for r in row_dicts(times)}
    unit = f"{cost.capitalize()}{' (of all problems of a run side by side)' * (cost == 'seconds')}"
    title = f"{unit} to a target loss: median / expected running time (all that was spent over the successes)"
    caption = (
        f"Targets: 0 is the lowest loss {LOWEST_LOSS[within]}, 1 that of random starts; for each instance. "
        "Reached: share of searches and targets; ∞: most did not reach it; - : none did"
    )
    rows = []
    for _, line in costs_to_targets.groupby(["model", "searcher_label", "start"], sort=False):
        by_target = {r["target"]: r for r in row_dicts(line)}
        first = next(iter(by_target.values()))
        cells = (_cost(by_target[f], expected[*key(first), f]) for f in fractions)
        reached = 1 - sum(r["censored"] for r in by_target.values()) / sum(r["n"] for r in by_target.values())
        rows.append([*row_key(first), *cells, share(reached)])
    header = columns(MODEL, SEARCHER, START, *(f"{f:g}" for f in fractions), "reached")
    return Table(title, header, rows, caption, f"{cost.capitalize()} to a target loss")


def _steps(row: dict[str, Any]) -> Cell:
    """Format steps; censored values are larger than the number of steps."""
    median = not_met(row) if math.isinf(row["median"]) else f"{row['median']:g}"
    return Cell(f"{median} ({row['n'] - row['censored']:g}/{row['n']})", row["median"])


def _cost(row: dict[str, Any], expected: float) -> Cell:
    median = "∞" if math.isinf(row["median"]) else _count(row["median"])
    return Cell(f"{median} / {_count(expected)}", row["median"])


def _count(value: float) -> str:
    """Format a count or a time: a whole number without decimals."""
    if not math.isfinite(value):
        return "-"
    return f"{value:g}" if value == int(value) and value < 1000 else rounded(value)
