"""Tables of a comparison, section by section."""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pandas as pd
from rich.console import RenderableType

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.groups import PHASES, SPENT
from lso_bench.analysis.start_sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.analysis.variance import START_AND_SEARCH_SEED
from lso_bench.plotting.numbers import count, fixed, significant
from lso_bench.report import markdown_latex, paired_tables, table
from lso_bench.report.sections import Section, not_met, sections
from lso_bench.report.table import Cell, Part, Table

FACTORS = ("train seed", "target", "start", "search seed", START_AND_SEARCH_SEED)
LOWEST_LOSS = {"task": "that any compared search reached", "model": "that any search in the same trained model reached"}


def terminal(comparison: Comparison, cost: str = "evaluations") -> RenderableType:
    """Render the tables of all sections for the terminal, then the notes.

    `cost` is the unit of costs to a target, one of `lso_bench.analysis.convergence.COSTS`.
    """
    return table.terminal(parts(comparison, cost), comparison.notes)


def markdown(comparison: Comparison, cost: str = "evaluations") -> str:
    """Render the tables as Markdown."""
    return markdown_latex.markdown(parts(comparison, cost), comparison.notes)


def latex(comparison: Comparison, cost: str = "evaluations") -> str:
    """Render the tables as LaTeX."""
    return markdown_latex.latex(parts(comparison, cost), comparison.notes)


def parts(comparison: Comparison, cost: str) -> Iterator[Part]:
    """Yield a part per section; empty tables are left out."""
    for section in sections(comparison):
        starts = ", ".join(section.rows("loss").start.unique())
        tables = (
            _runs(section),
            _losses(section),
            _auxiliary(section),
            _thresholds(section),
            _targets(section, comparison, cost),
            _starts(section),
            _variance(section),
            costs(section),
            *paired_tables.contests(section),
        )
        heading = f"{section.title} · starts {starts}" if starts else section.title
        yield Part(heading, [*dict.fromkeys(section.searcher_descriptions.values())], [t for t in tables if t.rows])
    yield from paired_tables.over_tasks(comparison)
    yield from paired_tables.collapse(comparison.collapse)


def _runs(section: Section) -> Table:
    """Return the table of runs that the rows of other tables are based on."""
    header = "runs", "failed", "diverged", "searches", "censored", "ended by", "steps", "evaluations", "code"
    caption = "Censored: searches that ended without a finite loss. Steps, evaluations: the budget of a problem"
    section_table = _table("Runs", *header, caption=caption)
    for r in _rows(section.runs):
        counts = (str(r[k]) for k in ("runs", "failed", "diverged", "searches", "censored"))
        budget = "-" if math.isnan(r["budget"]) else f"{r['budget']:g}"
        section_table.rows.append(
            (r["model"], r["searcher_label"], *counts, r["ended"], str(r["max_steps"]), budget, r["code"])
        )
    return section_table


def costs(section: Section) -> Table:
    """Return the table of a run's costs beyond its steps."""
    header = ("evaluations", "gradients", "decoded images", *(f"{k}, s" for k in PHASES))
    caption = (
        "Medians of runs, all problems of a run side by side. Seconds are those of the machine that did it; fit: of a "
        "surrogate, propose: all else that the searcher does"
    )
    section_table = _table("What a run took", *header, caption=caption)
    for r in _rows(section.runs):
        if not math.isnan(r["spent total"]):
            spent = (_cell(r[f"spent {k}"], count) for k in SPENT)
            seconds = (_cell(r[f"spent {k}"]) for k in PHASES)
            section_table.rows.append((r["model"], r["searcher_label"], *spent, *seconds))
    return section_table


def _losses(section: Section) -> Table:
    header = "start", "n", "median", "95 % interval", "quartiles", "mean", "lowest seen, median", "|z|, median"
    caption = (
        "Bold: the lowest median of a kind of start, and those that are not told from it: the paired difference over "
        "instances, its median, has 0 in its 95 % interval"
    )
    section_table = _table("Final loss (minus the score)", *header, caption=caption)
    for r in _rows(section.rows("loss")):
        best, norm = (section.row(m, r)["median"] for m in ("best", "norm"))
        mean = "" if math.isnan(r["mean"]) else _number(r["mean"])  # undefined if a search was lost
        quartiles = f"{r['q25']:.3g} .. {r['q75']:.3g}"
        if _is_tied_with_best(section.row("behind", r)):
            section_table.best.add((len(section_table.rows), section_table.columns.index("median")))
        figures = _number(r["median"]), _interval(r), quartiles, mean, _number(best), fixed(norm, 1)
        section_table.rows.append((*_row_key(r), str(r["n"]), *figures))
    return section_table


def _is_tied_with_best(gap: dict[str, Any]) -> bool:
    """Return whether no row is significantly better."""
    return gap["estimate"] == 0 or gap["low"] <= 0 <= gap["high"]


def _auxiliary(section: Section) -> Table:
    """Return the table of auxiliary measures, with a row where they were recorded."""
    auxiliary = [m.partition(":")[2] for m in section.measures.measure.unique() if m.startswith("beside:")]
    tests = {
        r["measure"]: r["estimate"] for r in _rows(section.measures[section.measures.measure.str.startswith("usual:")])
    }
    columns = [f"{name} (test {_format_auxiliary(name, tests.get(f'usual:{name}', math.nan))})" for name in auxiliary]
    shell = f"|z| (shell {section.context['latent'] ** 0.5:.2g})"
    caption = (
        "Shell: sqrt(d), where the prior's mass is. x: the decoded image, Bernoulli pixels binarised at 0.5. "
        "Distinct: share of images x that differ"
        + ". Test: of test images" * bool(auxiliary)
        + "; valid: share" * ("valid" in auxiliary)
    )
    title = "Beside the objective, medians"
    section_table = _table(title, "start", "n", shell, "|mu(x) - z|", "distinct", *columns, caption=caption)
    for r in _rows(section.rows("distinct")):
        norm, consistency = (_number(section.row(m, r).get("median", math.nan)) for m in ("norm", "consistency"))
        values = (
            _format_auxiliary(name, section.row(f"beside:{name}", r).get("estimate", math.nan)) for name in auxiliary
        )
        section_table.rows.append((*_row_key(r), str(r["n"]), norm, consistency, f"{r['estimate']:.0%}", *values))
    return section_table


def _format_auxiliary(name: str, value: float) -> str:
    return f"{value:.0%}" if name == "valid" and not math.isnan(value) else _number(value)


def _thresholds(section: Section) -> Table:
    """Return the steps to each threshold: of single searches, and of the mean over the searches of a start."""
    rows = section.measures[section.measures.measure.isin(["iterations", "joint"])]
    limits = sorted(rows.threshold.unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n searches or joint stops)"
    caption = (
        "∞: most did not, within a budget or a time limit; empty: not known, for problems left before the mean met it"
    )
    section_table = _table(title, "start", "stop", *(f"{t:g}" for t in limits), caption=caption)
    for key, line in rows.groupby(["model", "searcher_label", "start", "measure"], sort=False):
        *row_key, measure = cast(tuple[str, ...], key)
        by_threshold = {r["threshold"]: r for r in _rows(line)}
        cells = (_steps_text(by_threshold[t]) if t in by_threshold else "" for t in limits)
        section_table.rows.append((*row_key, "single" if measure == "iterations" else "joint", *cells))
    return section_table


def _targets(section: Section, comparison: Comparison, cost: str) -> Table:
    rows, times = section.rows(cost), section.rows(f"aRT:{cost}")
    fractions = sorted(rows.target.unique(), reverse=True)
    expected = {(*_row_key(r), r["target"]): r["estimate"] for r in _rows(times)}
    unit = f"{cost.capitalize()}{' (of all problems of a run side by side)' * (cost == 'seconds')}"
    title = f"{unit} to a target loss: median / expected running time (all that was spent over the successes)"
    caption = (
        f"Targets: 0 is the lowest loss {LOWEST_LOSS[comparison.targets]}, 1 that of random starts; for each instance. "
        "Reached: share of searches and targets; ∞: most did not reach it; - : none did"
    )
    section_table = _table(title, "start", *(f"{f:g}" for f in fractions), "reached", caption=caption)
    for key, line in rows.groupby(["model", "searcher_label", "start"], sort=False):
        by_target = {r["target"]: r for r in _rows(line)}
        cells = (f"{_finite_or_infinity(by_target[f])} / {_number(expected[*cast(tuple, key), f])}" for f in fractions)
        reached = 1 - sum(r["censored"] for r in by_target.values()) / sum(r["n"] for r in by_target.values())
        section_table.rows.append((*cast(tuple[str, ...], key), *cells, f"{reached:.0%}"))
    return section_table


def _starts(section: Section) -> Table:
    """Return the table of pairs of starts, one row per model, searcher and kind of pair."""
    rows = section.rows("distance")
    limits = sorted(rows.threshold.dropna().unique(), reverse=True)
    title = (
        "Between two starts of an instance, medians: gap of the final losses, squared distance of the codes at each "
        "threshold and at the end"
    )
    caption = (
        f"Spread: standard deviation of the final loss over all starts. Same basin: squared distance <= "
        f"{BASIN_DISTANCE:g} d and gap <= {BASIN_GAP:.0%} of the loss; share of pairs (95 % interval). "
        "In brackets at a threshold: how many pairs met it, if not all"
    )
    columns = "starts", "pairs", "spread", "gap", "same basin", *(f"{t:g}" for t in limits), "end"
    section_table = _table(title, *columns, caption=caption)
    spreads = (
        section.rows("spread")
        .drop_duplicates(["model", "searcher_label"])
        .set_index(["model", "searcher_label"])["median"]
    )
    for _, line in rows.groupby(["model", "searcher_label", "start"], sort=False):
        by_threshold = {"end" if pd.isna(r["threshold"]) else r["threshold"]: r for r in _rows(line)}
        end = by_threshold["end"]
        gap, basin = (section.row(m, end) for m in ("gap", "basin"))
        within = "" if math.isnan(basin["low"]) else f" ({100 * basin['low']:.0f}..{100 * basin['high']:.0f})"
        share = f"{basin['estimate']:.0%}{within}"
        cells = (_distance_text(by_threshold[t]) if t in by_threshold else "" for t in limits)
        figures = (
            str(end["n"]),
            _number(spreads[end["model"], end["searcher_label"]]),
            _number(gap["median"]),
            share,
            *cells,
        )
        section_table.rows.append((*_row_key(end), *figures, _number(end["median"])))
    return section_table


def _variance(section: Section) -> Table:
    """Return the table of shares of the total variance, with the standard deviation of each."""
    caption = (
        "Of training seed, start and search seed what each changes alone, so that interactions count several times and "
        "shares may add up to more than 100 %; of the target what its searches have in common. - : cannot be told"
    )
    shown = [f for f in FACTORS if len(section.rows(f"variance:{f}"))]
    title = "Where the variance of the final loss comes from: share of the total (95 % interval); its root"
    section_table = _table(title, "total, root", *shown, caption=caption)
    for r in _rows(section.rows("variance:total")):
        if not math.isnan(r["estimate"]):
            cells = (_factor(section, f, r) for f in shown)
            section_table.rows.append(
                (r["model"], r["searcher_label"], _number(math.sqrt(max(r["estimate"], 0))), *cells)
            )
    return section_table


def _factor(section: Section, factor: str, like: dict[str, Any]) -> str:
    effect, share = (section.row(f"{m}:{factor}", like) for m in ("variance", "variance share"))
    if not effect:
        return "-"
    if math.isnan(effect["estimate"]):
        return "one level" if effect["n"] == 1 else "-"
    if math.isnan(share["estimate"]):
        return "nothing varies"
    within = _interval(share, ".2%")
    return (
        f"{share['estimate']:.2%}{f' ({within})' if within else ''}; {_number(math.sqrt(max(effect['estimate'], 0)))}"
    )


def _table(title: str, *columns: str, caption: str = "") -> Table:
    return Table(title, ("model", "searcher", *columns), caption=caption)


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows.to_dict("records")


def _row_key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["model"], row["searcher_label"], row["start"]


def _interval(row: dict, form: str = ".3g") -> str:
    if math.isnan(row["low"]):
        return ""
    show: Callable[[float], str] = lambda x: "more" if math.isinf(x) else format(x, form)  # noqa: E731
    return f"{show(row['low'])} .. {show(row['high'])}"


def _number(value: Any) -> str:
    if math.isnan(value) or math.isinf(value):
        return "-"
    return significant(value)


def _cell(value: float, form: Callable[[float], str] = _number) -> str | Cell:
    """Format a value; empty if it is undefined."""
    return "" if math.isnan(value) else Cell(form(value), value)


def _steps_text(row: dict) -> str:
    median = not_met(row) if math.isinf(row["median"]) else f"{row['median']:g}"
    return f"{median} ({row['n'] - row['censored']:g}/{row['n']})"


def _finite_or_infinity(row: dict) -> str:
    return "∞" if math.isinf(row["median"]) else _number(row["median"])


def _distance_text(row: dict) -> str:
    met = row["n"] - row["censored"]
    return _number(row["median"]) + (f" ({met:g})" if 0 < met < row["n"] else "")
