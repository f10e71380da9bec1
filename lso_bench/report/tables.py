"""A comparison as tables in the terminal."""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lso_bench.compare import Comparison
from lso_bench.report import ranks
from lso_bench.report.sections import Section, most_steps, sections
from lso_bench.sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.variance import TOGETHER

FACTORS = ("train seed", "target", "start", "search seed", TOGETHER)
LOWEST = {"task": "that any compared search reached", "model": "that any search in the same trained model reached"}


def terminal(comparison: Comparison, cost: str = "evaluations") -> RenderableType:
    """For each task, architecture, decoding and device the tables of all models and searchers, then the notes.

    `cost`: in which of `lso_bench.convergence.COSTS` the way to a target is counted.
    """
    parts: list[RenderableType] = []
    for section in sections(comparison):
        starts = ", ".join(section.of("loss").start.unique())
        parts.append(Text(f"\n{section.title} · starts {starts}", style="bold"))
        parts += [Text(f"  {line}") for line in section.how.values()]
        tables = (
            _losses(section),
            _beside(section),
            _thresholds(section),
            _targets(section, comparison, cost),
            _starts(section),
        )
        parts += [t for t in (*tables, _variance(section)) if t.row_count]
        parts += ranks.contests(section)
    parts += ranks.collapse(comparison.collapse)
    parts += [Text(f"! {note}", style="yellow") for note in comparison.notes]
    return Group(*parts)


def _losses(section: Section) -> Table:
    header = "start", "n", "median", "95 % interval", "quartiles", "mean", "lowest seen, median", "|z|, median"
    table = _table("Final loss (minus the score)", *header)
    beside = {m: section.of(m).set_index(["model", "how", "start"])["median"] for m in ("best", "norm")}
    for r in _rows(section.of("loss")):
        key = r["model"], r["how"], r["start"]
        best, norm = _number(beside["best"][key]), f"{beside['norm'][key]:.1f}"
        mean = "" if math.isnan(r["mean"]) else _number(r["mean"])  # none where a search was lost
        quartiles = f"{r['q25']:.3g} .. {r['q75']:.3g}"
        table.add_row(*_head(r), str(r["n"]), _number(r["median"]), _interval(r), quartiles, mean, best, norm)
    return table


def _beside(section: Section) -> Table:
    """What the loss does not say of the points that were found; a row where it was noted."""
    told = [m.partition(":")[2] for m in section.rows.measure.unique() if m.startswith("beside:")]
    tests = {r["measure"]: r["estimate"] for r in _rows(section.rows[section.rows.measure.str.startswith("usual:")])}
    heads = [f"{escape(name)} (test {_reported(name, tests.get(f'usual:{name}', math.nan))})" for name in told]
    shell = f"|z| (shell {section.named['latent'] ** 0.5:.2g})"
    table = _table("Beside the objective, medians", "start", "n", shell, "|mu(x) - z|", "distinct", *heads)
    table.caption = (
        "Shell: sqrt(d), where the prior's mass is. x: the decoded image, Bernoulli pixels binarised at 0.5. "
        "Distinct: share of images x that differ"
        + ". Test: of test images" * bool(told)
        + "; valid: share" * ("valid" in told)
    )
    for r in _rows(section.of("distinct")):
        key = r["model"], r["how"], r["start"]
        norm, off = (_number(_of(section, m, key).get("median", math.nan)) for m in ("norm", "consistency"))
        more = (_reported(name, _of(section, f"beside:{name}", key).get("estimate", math.nan)) for name in told)
        table.add_row(*_head(r), str(r["n"]), norm, off, f"{r['estimate']:.0%}", *more)
    return table


def _reported(name: str, value: float) -> str:
    return f"{value:.0%}" if name == "valid" and not math.isnan(value) else _number(value)


def _thresholds(section: Section) -> Table:
    """Of each search alone, and of the mean of its start's searches."""
    rows = section.rows[section.rows.measure.isin(["iterations", "joint"])]
    limits = sorted(rows.threshold.unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n searches or joint stops)"
    table = _table(title, "start", "stop", *(f"{t:g}" for t in limits))
    for key, line in rows.groupby(["model", "how", "start", "measure"], sort=False):
        model, how, start, measure = cast(tuple, key)
        by = {r["threshold"]: r for r in _rows(line)}
        each = (_met(by[t], "median", most_steps(by[t])) if t in by else "" for t in limits)
        table.add_row(model, how, escape(start), "single" if measure == "iterations" else "joint", *each)
    return table


def _targets(section: Section, comparison: Comparison, cost: str) -> Table:
    rows, times = section.of(cost), section.of(f"aRT:{cost}")
    fractions = sorted(rows.target.unique(), reverse=True)
    counted = f"{cost.capitalize()}{' (of all problems of a run side by side)' * (cost == 'seconds')}"
    title = f"{counted} to a target loss: median / expected running time (all that was spent over the successes)"
    table = _table(title, "start", *(f"{f:g}" for f in fractions), "reached")
    table.caption = (
        f"Targets: 0 is the lowest loss {LOWEST[comparison.targets]}, 1 that of random starts; for each instance. "
        "Reached: share of searches and targets; ∞: most did not reach it; - : none did"
    )
    for key, line in rows.groupby(["model", "how", "start"], sort=False):
        by = {r["target"]: r for r in _rows(line)}
        expected = {r["target"]: r for r in _rows(times) if (r["model"], r["how"], r["start"]) == key}
        cells = (f"{_at_most(by[f])} / {_number(expected[f]['estimate'])}" for f in fractions)
        reached = 1 - sum(r["censored"] for r in by.values()) / sum(r["n"] for r in by.values())
        table.add_row(*map(escape, cast(tuple, key)), *cells, f"{reached:.0%}")
    return table


def _starts(section: Section) -> Table:
    """A row a model, searcher and kind of pair."""
    rows = section.of("distance")
    limits = sorted(rows.threshold.dropna().unique(), reverse=True)
    title = (
        "Between two starts of an instance, medians: gap of the final losses, squared distance of the codes at each "
        "threshold and at the end"
    )
    table = _table(title, "starts", "pairs", "spread", "gap", "same basin", *(f"{t:g}" for t in limits), "end")
    table.caption = (
        f"Spread: standard deviation of the final loss over all starts. Same basin: squared distance <= "
        f"{BASIN_DISTANCE:g} d and gap <= {BASIN_GAP:.0%} of the loss; share of pairs (95 % interval). "
        "In brackets at a threshold: how many pairs met it, if not all"
    )
    spreads = section.of("spread").drop_duplicates(["model", "how"]).set_index(["model", "how"])["median"]
    for key, line in rows.groupby(["model", "how", "start"], sort=False):
        model, how, kind = cast(tuple[str, str, str], key)
        by = {r["threshold"]: r for r in _rows(line) if not pd.isna(r["threshold"])}
        end, gap, basin = (
            _one(line[line.threshold.isna()]),
            *(_of(section, m, (model, how, kind)) for m in ("gap", "basin")),
        )
        within = "" if math.isnan(basin["low"]) else f" ({100 * basin['low']:.0f}..{100 * basin['high']:.0f})"
        each = (_distance(by[t]) if t in by else "" for t in limits)
        spread = _number(spreads[model, how])
        figures = (
            str(end["n"]),
            spread,
            _number(gap["median"]),
            f"{basin['estimate']:.0%}{within}",
            *each,
            _number(end["median"]),
        )
        table.add_row(escape(model), escape(how), escape(kind), *figures)
    return table


def _variance(section: Section) -> Table:
    """Shares of the total, and the standard deviation that each is."""
    present = {f: section.of(f"variance:{f}") for f in FACTORS}
    shown = [f for f in FACTORS if len(present[f])]
    title = "Variance of the final loss when one factor changes alone: share of the total (95 % interval); its root"
    table = _table(title, "total, root", *shown)
    for r in _rows(section.of("variance:total")):
        if not math.isnan(r["estimate"]):
            cells = (_factor(section, f, (r["model"], r["how"])) for f in shown)
            table.add_row(escape(r["model"]), escape(r["how"]), _number(math.sqrt(max(r["estimate"], 0))), *cells)
    return table


def _factor(section: Section, factor: str, of: tuple[str, str]) -> str:
    found, share = (_of(section, f"{m}:{factor}", of) for m in ("variance", "variance share"))
    if not found:
        return "-"
    if math.isnan(found["estimate"]):
        return "one level" if found["n"] == 1 else "-"
    if math.isnan(share["estimate"]):
        return "nothing varies"
    within = _interval(share, ".2%")
    return f"{share['estimate']:.2%}{f' ({within})' if within else ''}; {_number(math.sqrt(found['estimate']))}"


def _of(section: Section, measure: str, key: tuple[str, ...]) -> dict[str, Any]:
    """The row of that model, searcher and start; empty if there is none."""
    rows = section.of(measure)
    for column, value in zip(("model", "how", "start"), key, strict=False):
        rows = rows[rows[column] == value]
    return _one(rows) if len(rows) else {}


def _one(rows: Any) -> dict[str, Any]:
    return rows.iloc[0].to_dict()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.caption_justify = "left"
    for i, name in enumerate(("model", "searcher", *columns)):
        words = i < 2 or name in ("start", "starts", "stop")
        narrow = 8 if i < 2 else None  # less would cut most names
        table.add_column(name, justify="left" if words else "right", min_width=narrow, no_wrap=name == "same basin")
    return table


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows.to_dict("records")


def _head(row: dict) -> tuple[str, str, str]:
    return escape(row["model"]), escape(row["how"]), escape(row["start"])


def _interval(row: dict, form: str = ".3g") -> str:
    if math.isnan(row["low"]):
        return ""
    show: Callable[[float], str] = lambda x: "more" if math.isinf(x) else format(x, form)  # noqa: E731
    return f"{show(row['low'])} .. {show(row['high'])}"


def _number(value: Any) -> str:
    if math.isnan(value) or math.isinf(value):
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.2g}"


def _met(row: dict, key: str, most: float) -> str:
    median = f"> {most:g}" if math.isinf(row[key]) else f"{row[key]:g}"
    return f"{median} ({row['n'] - row['censored']:g}/{row['n']})"


def _at_most(row: dict) -> str:
    return "∞" if math.isinf(row["median"]) else _number(row["median"])


def _distance(row: dict) -> str:
    met = row["n"] - row["censored"]
    return _number(row["median"]) + (f" ({met:g})" if 0 < met < row["n"] else "")
