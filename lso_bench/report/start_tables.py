"""Tables of how much depends on the start, and of where the variance comes from."""

import math
from typing import Any

import pandas as pd

from lso_bench.analysis.start_sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.analysis.variance import FACTORS
from lso_bench.report.cells import EMPTY, estimate, interval, interval_text, number, rounded, word
from lso_bench.report.row_heads import key, row_dicts, row_head, row_key
from lso_bench.report.sections import Section
from lso_bench.report.table import MODEL, SEARCHER, START, Cell, Column, Table, columns
from lso_bench.run_settings import PRIOR

IN_COORDINATES = (
    ". Distances are those of the coordinates of the search (--space), d in number: z in space prior, u in the others"
)
STARTS = Column("starts", is_text=True, is_key=True)


def starts(section: Section) -> Table:
    """Return the table of pairs of starts, one row per model, searcher and kind of pair."""
    distances, gap_rows = section.rows("distance"), section.rows("gap")
    limits = sorted(distances.threshold.dropna().unique(), reverse=True)
    title = (
        "Between two starts of an instance, medians: gap of the final losses, squared distance of the latents at each "
        "threshold and at the end"
    )
    caption = (
        f"Spread: standard deviation of the final loss over all starts. Same basin: squared distance <= "
        f"{BASIN_DISTANCE:g} d and gap <= {BASIN_GAP:.0%} of the loss; share of pairs (95 % interval). "
        "In brackets at a threshold: how many pairs met it, if not all"
        + IN_COORDINATES
        * bool((distances.space != PRIOR).any())
    )
    spreads = (
        section.rows("spread")
        .drop_duplicates(["model", "searcher_label"])
        .set_index(["model", "searcher_label"])["median"]
    )
    by_key: dict[tuple, dict[Any, dict[str, Any]]] = {}  # distances by threshold
    for r in row_dicts(distances):
        by_key.setdefault(key(r), {})["end" if pd.isna(r["threshold"]) else r["threshold"]] = r
    rows = []
    for gap in row_dicts(gap_rows[gap_rows.threshold.isna()]):
        by_threshold = by_key.get(key(gap), {})
        end, basin = by_threshold.get("end"), section.row("basin", gap)
        spread: Any = spreads[gap["model"], gap["searcher_label"]]
        medians = number(spread), number(gap["median"])
        at_limits = (_distance(by_threshold[t]) if t in by_threshold else EMPTY for t in limits)
        cells = (*medians, _basin(basin) if basin else EMPTY, *at_limits, number(end["median"]) if end else EMPTY)
        rows.append([*row_key(gap), number((end or gap)["n"], str), *cells])
    same_basin = Column("same basin", is_whole=True)
    header = columns(MODEL, SEARCHER, STARTS, "pairs", "spread", "gap", same_basin, *(f"{t:g}" for t in limits), "end")
    return Table(title, header, rows, caption, "How much depends on the start")


def gaps(section: Section) -> Table:
    """Return the table of the difference of the losses of two starts, where both met a threshold and at the end."""
    title = "Gap between the losses of two starts, when both met a threshold and at the end"
    caption = "Met by: pairs of which both met the threshold. Section 5.4 of the paper speaks of this gap"
    rows = []
    for _, line in section.rows("gap").groupby(["model", "searcher_label", "start"], sort=False):
        by_threshold = {r["threshold"]: r for r in row_dicts(line)}
        for r in by_threshold.values() if len(by_threshold) > 1 else ():
            at = word("end") if pd.isna(r["threshold"]) else Cell(f"{r['threshold']:g}", r["threshold"])
            met = number(r["n"] - r["censored"], "{:g}".format)
            mean = number(r["mean"], undefined="")
            rows.append([*row_key(r), at, met, number(r["median"]), interval(r["low"], r["high"]), mean])
    limit = Column("threshold", is_key=True)
    header = columns(MODEL, SEARCHER, STARTS, limit, "met by", "median", "95 % interval", "mean")
    return Table(title, header, rows, caption, "Gap between two starts by threshold")


def variance(section: Section) -> Table:
    """Return the table of shares of the total variance, with the standard deviation of each."""
    caption = (
        "Of training seed, start and search seed what each changes alone, so that interactions count several times and "
        "shares may add up to more than 100 %; of the target what its searches have in common. - : cannot be told"
    )
    shown = [f for f in FACTORS if len(section.rows(f"variance:{f}"))]
    title = "Where the variance of the final loss comes from: share of the total (95 % interval); its root"
    totals = [r for r in row_dicts(section.rows("variance:total")) if not math.isnan(r["estimate"])]
    rows = [[*row_head(r), number(_root(r)), *(_factor(section, f, r) for f in shown)] for r in totals]
    header = columns(MODEL, SEARCHER, "total, root", *(START if f == START.heading else f for f in shown))
    return Table(title, header, rows, caption, "Where the variance comes from")


def _factor(section: Section, factor: str, like: dict[str, Any]) -> Cell:
    effect, part = (section.row(f"{m}:{factor}", like) for m in ("variance", "variance share"))
    if not effect:
        return number(None)
    if math.isnan(effect["estimate"]):
        return number(None, undefined="one level" if effect["n"] == 1 else "-")
    if math.isnan(part["estimate"]):
        return number(None, undefined="nothing varies")
    bounds = part["low"], part["high"]
    brackets = interval_text(*bounds, "{:.2%}".format)
    text = f"{part['estimate']:.2%}{f' ({brackets})' * bool(brackets)}; {rounded(_root(effect))}"
    return Cell(text, part["estimate"], bounds=bounds)


def _root(row: dict[str, Any]) -> float:
    return math.sqrt(max(row["estimate"], 0))


def _basin(row: dict[str, Any]) -> Cell:
    ends = row["low"], row["high"]
    return estimate(row["estimate"], *ends, "{:.0%}".format, lambda end: f"{100 * end:.0f}", "..")


def _distance(row: dict[str, Any]) -> Cell:
    met = row["n"] - row["censored"]
    return Cell(rounded(row["median"]) + f" ({met:g})" * (0 < met < row["n"]), row["median"])
