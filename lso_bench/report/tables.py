"""The tables of a comparison, section by section."""

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
LOWEST = {"task": "that any compared search reached", "model": "that any search in the same trained model reached"}


def terminal(comparison: Comparison, cost: str = "evaluations") -> RenderableType:
    """For each task, architecture, decoding and device the tables of all models and searchers, then the notes.

    `cost`: in which of `lso_bench.analysis.convergence.COSTS` the way to a target is counted.
    """
    return table.terminal(parts(comparison, cost), comparison.notes)


def markdown(comparison: Comparison, cost: str = "evaluations") -> str:
    """The same as Markdown."""
    return markdown_latex.markdown(parts(comparison, cost), comparison.notes)


def latex(comparison: Comparison, cost: str = "evaluations") -> str:
    """The same as LaTeX."""
    return markdown_latex.latex(parts(comparison, cost), comparison.notes)


def parts(comparison: Comparison, cost: str) -> Iterator[Part]:
    """A part a section; tables that would be empty are left out."""
    for section in sections(comparison):
        starts = ", ".join(section.rows("loss").start.unique())
        found = (
            _runs(section),
            _losses(section),
            _beside(section),
            _thresholds(section),
            _targets(section, comparison, cost),
            _starts(section),
            _variance(section),
            costs(section),
            *paired_tables.contests(section),
        )
        heading = f"{section.title} · starts {starts}" if starts else section.title
        yield Part(heading, [*dict.fromkeys(section.searcher_descriptions.values())], [t for t in found if t.rows])
    yield from paired_tables.over_tasks(comparison)
    yield from paired_tables.collapse(comparison.collapse)


def _runs(section: Section) -> Table:
    """What stands behind the rows of the other tables."""
    header = "runs", "failed", "diverged", "searches", "censored", "ended by", "steps", "evaluations", "code"
    caption = "Censored: searches that ended without a finite loss. Steps, evaluations: the budget of a problem"
    found = _table("Runs", *header, caption=caption)
    for r in _rows(section.runs):
        counts = (str(r[k]) for k in ("runs", "failed", "diverged", "searches", "censored"))
        budget = "-" if math.isnan(r["budget"]) else f"{r['budget']:g}"
        found.rows.append(
            (r["model"], r["searcher_label"], *counts, r["ended"], str(r["max_steps"]), budget, r["code"])
        )
    return found


def costs(section: Section) -> Table:
    """What a run took beside its steps."""
    header = ("evaluations", "gradients", "decoded images", *(f"{k}, s" for k in PHASES))
    caption = (
        "Medians of runs, all problems of a run side by side. Seconds are those of the machine that did it; fit: of a "
        "surrogate, propose: all else that the searcher does"
    )
    found = _table("What a run took", *header, caption=caption)
    for r in _rows(section.runs):
        if not math.isnan(r["spent total"]):
            spent = (_cell(r[f"spent {k}"], count) for k in SPENT)
            seconds = (_cell(r[f"spent {k}"]) for k in PHASES)
            found.rows.append((r["model"], r["searcher_label"], *spent, *seconds))
    return found


def _losses(section: Section) -> Table:
    header = "start", "n", "median", "95 % interval", "quartiles", "mean", "lowest seen, median", "|z|, median"
    caption = (
        "Bold: the lowest median of a kind of start, and those that are not told from it: the paired difference over "
        "instances, its median, has 0 in its 95 % interval"
    )
    found = _table("Final loss (minus the score)", *header, caption=caption)
    for r in _rows(section.rows("loss")):
        best, norm = (section.row(m, r)["median"] for m in ("best", "norm"))
        mean = "" if math.isnan(r["mean"]) else _number(r["mean"])  # none where a search was lost
        quartiles = f"{r['q25']:.3g} .. {r['q75']:.3g}"
        if _first(section.row("behind", r)):
            found.best.add((len(found.rows), found.columns.index("median")))
        figures = _number(r["median"]), _interval(r), quartiles, mean, _number(best), fixed(norm, 1)
        found.rows.append((*_who(r), str(r["n"]), *figures))
    return found


def _first(behind: dict[str, Any]) -> bool:
    """Whether no line is told to be better."""
    return behind["estimate"] == 0 or behind["low"] <= 0 <= behind["high"]


def _beside(section: Section) -> Table:
    """What the loss does not say of the points that were found; a row where it was noted."""
    told = [m.partition(":")[2] for m in section.measures.measure.unique() if m.startswith("beside:")]
    tests = {
        r["measure"]: r["estimate"] for r in _rows(section.measures[section.measures.measure.str.startswith("usual:")])
    }
    heads = [f"{name} (test {_reported(name, tests.get(f'usual:{name}', math.nan))})" for name in told]
    shell = f"|z| (shell {section.context['latent'] ** 0.5:.2g})"
    caption = (
        "Shell: sqrt(d), where the prior's mass is. x: the decoded image, Bernoulli pixels binarised at 0.5. "
        "Distinct: share of images x that differ"
        + ". Test: of test images" * bool(told)
        + "; valid: share" * ("valid" in told)
    )
    title = "Beside the objective, medians"
    found = _table(title, "start", "n", shell, "|mu(x) - z|", "distinct", *heads, caption=caption)
    for r in _rows(section.rows("distinct")):
        norm, off = (_number(section.row(m, r).get("median", math.nan)) for m in ("norm", "consistency"))
        more = (_reported(name, section.row(f"beside:{name}", r).get("estimate", math.nan)) for name in told)
        found.rows.append((*_who(r), str(r["n"]), norm, off, f"{r['estimate']:.0%}", *more))
    return found


def _reported(name: str, value: float) -> str:
    return f"{value:.0%}" if name == "valid" and not math.isnan(value) else _number(value)


def _thresholds(section: Section) -> Table:
    """Of each search alone, and of the mean of its start's searches."""
    rows = section.measures[section.measures.measure.isin(["iterations", "joint"])]
    limits = sorted(rows.threshold.unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n searches or joint stops)"
    caption = (
        "∞: most did not, within a budget or a time limit; empty: not known, for problems left before the mean met it"
    )
    found = _table(title, "start", "stop", *(f"{t:g}" for t in limits), caption=caption)
    for key, line in rows.groupby(["model", "searcher_label", "start", "measure"], sort=False):
        *of, measure = cast(tuple[str, ...], key)
        by = {r["threshold"]: r for r in _rows(line)}
        each = (_met(by[t]) if t in by else "" for t in limits)
        found.rows.append((*of, "single" if measure == "iterations" else "joint", *each))
    return found


def _targets(section: Section, comparison: Comparison, cost: str) -> Table:
    rows, times = section.rows(cost), section.rows(f"aRT:{cost}")
    fractions = sorted(rows.target.unique(), reverse=True)
    expected = {(*_who(r), r["target"]): r["estimate"] for r in _rows(times)}
    counted = f"{cost.capitalize()}{' (of all problems of a run side by side)' * (cost == 'seconds')}"
    title = f"{counted} to a target loss: median / expected running time (all that was spent over the successes)"
    caption = (
        f"Targets: 0 is the lowest loss {LOWEST[comparison.targets]}, 1 that of random starts; for each instance. "
        "Reached: share of searches and targets; ∞: most did not reach it; - : none did"
    )
    found = _table(title, "start", *(f"{f:g}" for f in fractions), "reached", caption=caption)
    for key, line in rows.groupby(["model", "searcher_label", "start"], sort=False):
        by = {r["target"]: r for r in _rows(line)}
        cells = (f"{_at_most(by[f])} / {_number(expected[*cast(tuple, key), f])}" for f in fractions)
        reached = 1 - sum(r["censored"] for r in by.values()) / sum(r["n"] for r in by.values())
        found.rows.append((*cast(tuple[str, ...], key), *cells, f"{reached:.0%}"))
    return found


def _starts(section: Section) -> Table:
    """A row a model, searcher and kind of pair."""
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
    found = _table(title, *columns, caption=caption)
    spreads = (
        section.rows("spread")
        .drop_duplicates(["model", "searcher_label"])
        .set_index(["model", "searcher_label"])["median"]
    )
    for _, line in rows.groupby(["model", "searcher_label", "start"], sort=False):
        by = {"end" if pd.isna(r["threshold"]) else r["threshold"]: r for r in _rows(line)}
        end = by["end"]
        gap, basin = (section.row(m, end) for m in ("gap", "basin"))
        within = "" if math.isnan(basin["low"]) else f" ({100 * basin['low']:.0f}..{100 * basin['high']:.0f})"
        share = f"{basin['estimate']:.0%}{within}"
        each = (_distance(by[t]) if t in by else "" for t in limits)
        figures = (
            str(end["n"]),
            _number(spreads[end["model"], end["searcher_label"]]),
            _number(gap["median"]),
            share,
            *each,
        )
        found.rows.append((*_who(end), *figures, _number(end["median"])))
    return found


def _variance(section: Section) -> Table:
    """Shares of the total, and the standard deviation that each is."""
    caption = (
        "Of training seed, start and search seed what each changes alone, so that interactions count several times and "
        "shares may add up to more than 100 %; of the target what its searches have in common. - : cannot be told"
    )
    shown = [f for f in FACTORS if len(section.rows(f"variance:{f}"))]
    title = "Where the variance of the final loss comes from: share of the total (95 % interval); its root"
    found = _table(title, "total, root", *shown, caption=caption)
    for r in _rows(section.rows("variance:total")):
        if not math.isnan(r["estimate"]):
            cells = (_factor(section, f, r) for f in shown)
            found.rows.append((r["model"], r["searcher_label"], _number(math.sqrt(max(r["estimate"], 0))), *cells))
    return found


def _factor(section: Section, factor: str, like: dict[str, Any]) -> str:
    found, share = (section.row(f"{m}:{factor}", like) for m in ("variance", "variance share"))
    if not found:
        return "-"
    if math.isnan(found["estimate"]):
        return "one level" if found["n"] == 1 else "-"
    if math.isnan(share["estimate"]):
        return "nothing varies"
    within = _interval(share, ".2%")
    return f"{share['estimate']:.2%}{f' ({within})' if within else ''}; {_number(math.sqrt(max(found['estimate'], 0)))}"


def _table(title: str, *columns: str, caption: str = "") -> Table:
    return Table(title, ("model", "searcher", *columns), caption=caption)


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows.to_dict("records")


def _who(row: dict[str, Any]) -> tuple[str, str, str]:
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
    """Empty where there is none."""
    return "" if math.isnan(value) else Cell(form(value), value)


def _met(row: dict) -> str:
    median = not_met(row) if math.isinf(row["median"]) else f"{row['median']:g}"
    return f"{median} ({row['n'] - row['censored']:g}/{row['n']})"


def _at_most(row: dict) -> str:
    return "∞" if math.isinf(row["median"]) else _number(row["median"])


def _distance(row: dict) -> str:
    met = row["n"] - row["censored"]
    return _number(row["median"]) + (f" ({met:g})" if 0 < met < row["n"] else "")
