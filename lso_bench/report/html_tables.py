"""Tables of a section for the HTML page."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lso_bench.analysis.start_sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.analysis.variance import START_AND_SEARCH_SEED
from lso_bench.report.html_cells import Cell, Table, figure, interval, model, number, share, word
from lso_bench.report.sections import Section, not_met

FACTORS = ("train seed", "target", "start", "search seed", START_AND_SEARCH_SEED)
HEAD_COLUMNS = ("model", "searcher", "start")


def tables(section: Section) -> list[Table]:
    """Return the tables that have rows."""
    all_tables = (f(section) for f in (losses, targets, thresholds, starts, variance, beside))
    return [t for t in all_tables if t.rows]


def losses(section: Section) -> Table:
    """Return the table of final losses."""
    rows = []
    for r in _rows(section.rows("loss")):
        best, norm = (section.row(m, r).get("median", math.nan) for m in ("best", "norm"))
        n_lost = number(r["censored"], "{:.0f}".format)
        ends = [number(r["n"], "{:,.0f}".format), n_lost, number(r["median"]), interval(r)]
        rows.append([*_row_head(r), *ends, *map(number, (r["q25"], r["q75"], best, norm))])
    numbers = ("n", "lost", "median", "95 % interval", "lower quartile", "upper quartile", "lowest seen", "|z|")
    caption = (
        "The loss is minus the score. n: searches; lost: those without a finite loss, which count as worst. Interval "
        "of the median, targets resampled. Lowest seen and distance to the prior's mean, |z|: medians."
    )
    return Table("Final loss", HEAD_COLUMNS, numbers, rows, caption)


def beside(section: Section) -> Table:
    """Return the table of auxiliary measures, which the loss does not show."""
    auxiliary = [m for m in section.measures.measure.unique() if m.startswith("beside:")]
    rows = []
    for r in _rows(section.rows("distinct")):
        norm, consistency = (section.row(m, r).get("median", math.nan) for m in ("norm", "consistency"))
        values = (_format_auxiliary(name, section.row(name, r).get("estimate", math.nan)) for name in auxiliary)
        cells = [number(r["n"], "{:,.0f}".format), number(norm), number(consistency), number(r["estimate"], share)]
        rows.append([*_row_head(r), *cells, *values])
    tests = {
        r["measure"]: r["estimate"] for r in _rows(section.measures[section.measures.measure.str.startswith("usual:")])
    }
    test_values = [f"{m.partition(':')[2]} {figure(v)}" for m, v in tests.items()]
    caption = (
        f"Medians. The prior's mass is at |z| = {section.context['latent'] ** 0.5:.2g}. x: the decoded image, "
        f"binarised at 0.5; distinct: share of these images that differ."
        f"{' Test images: ' * bool(test_values)}{', '.join(test_values)}"
    )
    numbers = ("n", "|z|", "|mu(x) \N{MINUS SIGN} z|", "distinct", *(m.partition(":")[2] for m in auxiliary))
    return Table("Beside the objective", HEAD_COLUMNS, numbers, rows, caption)


def thresholds(section: Section) -> Table:
    """Return the steps to each threshold: of single searches, and of the mean over the searches of a start."""
    measures = section.measures[section.measures.measure.isin(["iterations", "joint"])]
    limits = sorted(measures.threshold.unique(), reverse=True)
    rows = []
    for _, line in measures.groupby(["model", "searcher_label", "start", "measure"], sort=False):
        by_threshold = {r["threshold"]: r for r in _rows(line)}
        r = next(iter(by_threshold.values()))
        stop = word("single" if r["measure"] == "iterations" else "joint")
        rows.append(
            [
                *_row_head(r),
                stop,
                *(_steps_cell(by_threshold[t]) if t in by_threshold else Cell("", math.nan) for t in limits),
            ]
        )
    caption = (
        "Median steps until the loss falls by no more than the threshold; in brackets how many met it, where not all "
        "did. Single: each search by itself; joint: the mean over a start's searches, n counts runs; empty where it is "
        "not known, for problems left before it."
    )
    return Table("Steps to converge", (*HEAD_COLUMNS, "stop"), tuple(f"{t:g}" for t in limits), rows, caption)


def targets(section: Section) -> Table:
    """Return the expected running time to each target, in evaluations."""
    fractions = sorted(section.rows("evaluations").target.unique(), reverse=True)
    tried = dict(iter(section.rows("evaluations").groupby(["model", "searcher_label", "start"], sort=False)))
    rows = []
    for key, line in section.rows("aRT:evaluations").groupby(["model", "searcher_label", "start"], sort=False):
        by_target = {r["target"]: r for r in _rows(line)}
        r = next(iter(by_target.values()))
        reached = 1 - tried[key].censored.sum() / tried[key].n.sum()
        cells = (number(by_target[f]["estimate"]) if f in by_target else Cell("", math.nan) for f in fractions)
        rows.append([*_row_head(r), *cells, number(reached, share)])
    caption = (
        "Expected running time: evaluations of a problem that all searches spent over the number that got there; ∞: "
        "none did. Target 0 is the lowest loss that any compared search reached on an instance, 1 that of its random "
        "starts."
    )
    numbers = (*(f"target {f:g}" for f in fractions), "reached")
    return Table("Evaluations to a target loss", HEAD_COLUMNS, numbers, rows, caption)


def starts(section: Section) -> Table:
    """Return the table of pairs of starts, one row per model, searcher and kind of pair."""
    distances = section.rows("distance")
    limits = sorted(distances.threshold.dropna().unique(), reverse=True)
    spreads = (
        section.rows("spread")
        .drop_duplicates(["model", "searcher_label"])
        .set_index(["model", "searcher_label"])["median"]
    )
    rows = []
    for _, line in distances.groupby(["model", "searcher_label", "start"], sort=False):
        by_threshold = {"end" if pd.isna(r["threshold"]) else r["threshold"]: r for r in _rows(line)}
        end = by_threshold["end"]
        gap, basin = (section.row(m, end) for m in ("gap", "basin"))
        numbers = [
            number(end["n"], "{:,.0f}".format),
            number(spreads[end["model"], end["searcher_label"]]),
            number(gap["median"]),
        ]
        numbers += [number(basin["estimate"], share), interval(basin, share)]
        cells = [
            number(by_threshold[t]["median"]) if t in by_threshold else Cell("", math.nan) for t in (*limits, "end")
        ]
        rows.append([*_row_head(end), *numbers, *cells])
    columns = ("pairs", "spread", "gap", "same basin", "95 % interval", *(f"d² at {t:g}" for t in limits), "d² at end")
    caption = (
        "Pairs of starts of the same instance, medians. Spread: standard deviation of the final loss over all starts; "
        "gap: of the final losses; d²: squared distance of the codes, of the pairs that met the threshold. Same basin: "
        f"d² at most {BASIN_DISTANCE:g} a dimension and a gap of at most {BASIN_GAP:.0%} of the loss."
    )
    return Table("How much depends on the start", ("model", "searcher", "starts"), columns, rows, caption)


def variance(section: Section) -> Table:
    """Return the table of factors: the standard deviation that each causes alone, and its share of the total."""
    shown = [f for f in FACTORS if section.rows(f"variance:{f}").estimate.notna().any()]
    rows = []
    for r in _rows(section.rows("variance:total")):
        if not math.isnan(r["estimate"]):
            cells = [number(math.sqrt(max(r["estimate"], 0)))]
            for f in shown:
                effect, share_row = (section.row(f"{m}:{f}", r) for m in ("variance", "variance share"))
                root = math.sqrt(max(effect.get("estimate", math.nan), 0)) if effect else math.nan
                cells += [
                    number(root),
                    number(share_row.get("estimate", math.nan), _percent),
                    interval(share_row, _percent),
                ]
            rows.append([*_row_head(r)[:2], *cells])
    columns = [h for f in shown for h in (f, f"{f}: share", "95 % interval")]
    caption = (
        "Standard deviation of the final loss in all; when the training seed, the start or the search seed alone "
        "changes; and of what the searches of a target have in common. Shares are of the total variance; interactions "
        "count for each factor but the target, so that they may add up to more than 100 %."
    )
    return Table("Where the variance comes from", ("model", "searcher"), ("total", *columns), rows, caption)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _format_auxiliary(name: str, value: float) -> Cell:
    return number(value, share if name == "beside:valid" else None)


def _steps_cell(row: dict[str, Any]) -> Cell:
    """Format steps; censored values are larger than the number of steps."""
    met, n = row["n"] - row["censored"], row["n"]
    reached = f" ({met:.0f}/{n:.0f})" if met < n else ""
    if math.isinf(row["median"]):
        return Cell(f"{not_met(row)}{reached}", math.inf)
    return Cell(f"{row['median']:,.0f}{reached}", row["median"])


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows.to_dict("records")


def _row_head(row: dict[str, Any]) -> list[Cell]:
    return [model(row["model"]), word(row["searcher_label"]), word(row["start"])]
