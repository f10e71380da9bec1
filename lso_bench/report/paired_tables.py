"""Tables of paired comparisons, over instances and over tasks, and of collapse against search."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.collapse import COMPARED_WITHIN, FEWEST, LATENT_METRICS, Collapse
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.paired import COMPARED
from lso_bench.analysis.rank_tests import BLOCKS, CONTESTANTS
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.plotting.numbers import significant
from lso_bench.report.sections import Section, searcher_labels
from lso_bench.report.table import Cell, Part, Table

OUTCOMES = ("loss", "iterations")
PER_PAIR = ("difference", "wins", "effect")
HEADER = (
    *("model", "searcher", "start", "of", "n", "lost", "mean rank", "Friedman, p"),
    *("less the best, median", "wins", "effect", "Wilcoxon-Holm, p"),
)
CAPTION = (
    "With the same starts and seeds, against the best mean rank. n: instances, of several seeds the median. Lost: "
    "searches that diverged, failed or did not get there, ranked last. Wins: share of instances, ties half. In "
    "brackets 95 % intervals. Effect: matched-pairs rank-biserial, -1 if worse in all. p: none under "
    f"{BLOCKS} instances; Holm's over all pairs, which are in --json with Nemenyi's. All this is about these trained "
    "models: another training is another model"
)

OVER_TASKS = ("model", "searcher", "start", "of", "tasks", "lost", "mean rank", "Friedman, p", "wins", "Nemenyi, p")
OVER_TASKS_CAPTION = (
    "A block is a task: of its instances, with the same starts and seeds, the median. Against the best mean rank. "
    "Lost: searches that diverged, failed or did not get there. Wins: share of tasks, ties half (95 % interval). p: "
    f"none under {BLOCKS} tasks and {CONTESTANTS} contestants. Scales differ between tasks: differences are not given"
)


def contests(section: Section) -> Iterator[Table]:
    """Yield a table of models and one of searchers, each against the best mean rank, on more than one instance."""
    caption = CAPTION
    for factor in COMPARED:
        if rows := [tuple(row) for row in _contests(section, factor)]:
            yield Table(title(factor), HEADER, rows, caption)
            caption = f"As in the table of {factor}s"


def title(factor: str) -> str:
    """Return the title of the table of models or of searchers."""
    return f"{factor.capitalize()}s on the same instances"


def _contests(section: Section, factor: str) -> Iterator[list[str | Cell]]:
    context = [*(c for c in GROUP_KEYS if c != factor), "start"]
    for outcome in OUTCOMES:
        for _, ranked in section.rows(f"{factor} rank:{outcome}").groupby(context, sort=False, dropna=False):
            best = ranked.iloc[0]
            if best.n < 2:
                continue
            for row in ranked.to_dict("records"):
                pair_measures = {m: section.row(f"{factor} {m}:{outcome}", row, best[factor]) for m in PER_PAIR}
                outcome_label = "loss" if outcome == "loss" else f"steps to {row['threshold']:g}"
                head = [row["model"], row["searcher_label"], row["start"], outcome_label]
                yield [
                    *head,
                    *_rank_cells(row),
                    *(_pair_cells(pair_measures) if pair_measures["wins"] else (_p(row["p"]), "", "", "", "")),
                ]


def _rank_cells(row: dict[str, Any]) -> tuple[Cell, ...]:
    """Return n, the number of lost searches, and the mean rank of a contestant."""
    counts = (Cell(f"{row[k]:g}", row[k]) for k in ("n", "censored"))
    return (*counts, Cell(f"{row['estimate']:.2f}", row["estimate"]))


def _pair_cells(measures: dict[str, dict[str, Any]]) -> tuple[str | Cell, ...]:
    difference, won, effect = measures["difference"], measures["wins"], measures["effect"]["estimate"]
    cells = _with_interval(difference, _number), _with_interval(won, "{:.0%}".format), Cell(f"{effect:.2f}", effect)
    return "", *cells, _p(difference["p"])


def over_tasks(comparison: Comparison) -> Iterator[Part]:
    """Yield a part with a table of models and one of searchers, if two tasks share contestants."""
    rows = comparison.tasks
    if rows.empty:
        return
    rows = rows.assign(searcher_label=searcher_labels(rows, comparison.by))
    tables = [Table(f"{f.capitalize()}s over tasks", OVER_TASKS, [*_over_tasks(rows, f)]) for f in COMPARED]
    filled = [t for t in tables if t.rows]
    yield Part("Over tasks", [], [replace(filled[0], caption=OVER_TASKS_CAPTION), *filled[1:]])


def _over_tasks(rows: pd.DataFrame, factor: str) -> Iterator[tuple[str | Cell, ...]]:
    """Yield one row per contestant, grouped by comparison, the best first."""
    context = [*(c for c in GROUP_KEYS if c not in (factor, "decoding")), "start"]
    for outcome in OUTCOMES:
        measures = [f"{factor} {m}:{outcome}" for m in ("rank", "wins", "nemenyi")]
        for _, compared in rows[rows.measure.isin(measures)].groupby(context, sort=False, dropna=False):
            records = cast(list[dict[str, Any]], cast(pd.DataFrame, compared).to_dict("records"))
            pairs = {(r["measure"], r[factor], r["against"]): r for r in records}
            ranked = [r for r in records if r["measure"] == measures[0]]
            outcome_label = "loss" if outcome == "loss" else f"steps to {ranked[0]['threshold']:g}"
            for row in ranked:
                won, nemenyi = (pairs.get((m, row[factor], ranked[0][factor])) for m in measures[1:])
                cells = (
                    ("", _with_interval(won, "{:.0%}".format), _p(nemenyi["p"]))
                    if won and nemenyi
                    else (_p(row["p"]), "", "")
                )
                yield (row["model"], row["searcher_label"], row["start"], outcome_label, *_rank_cells(row), *cells)


def collapse(result: Collapse) -> Iterator[Part]:
    """Yield a part per context: one row per outcome, one column per latent-space metric."""
    if result.correlations.empty:
        return
    for _, context in result.correlations.groupby(COMPARED_WITHIN, sort=False, dropna=False):
        head = context.iloc[0]
        n = {s: int(context[context.space == s].n.max()) for s in LATENT_METRICS}
        metrics = [s for s in LATENT_METRICS if n[s] >= FEWEST]
        rows = []
        for outcome, line in context.groupby("outcome", sort=False):
            by_metric = {r["space"]: r for r in line.to_dict("records")}
            rows.append((str(outcome), *(_correlation(by_metric[s], n[s]) for s in metrics)))
        heading = "Spearman's rank correlation over trained models (95 % interval)"
        columns = ("of the searches", *(f"{s}, n = {n[s]}" for s in metrics))
        table = Table(heading, columns, rows, _limits(context, [s for s in LATENT_METRICS if s not in metrics]))
        setup = f"{head.task.partition(':')[0]}, {head.searcher}, {head.arch}, d = {head.latent}"
        yield Part(f"Does collapse decide search? {setup}", [], [table])


def _limits(context: pd.DataFrame, missing: list[str]) -> str:
    """Return a caption that says what the table can and cannot show."""
    n, tests = int(context.n.max()), int(context["of"].iloc[0])
    least = 2 / math.factorial(n)
    unknown = f" Measured of fewer than {FEWEST}: {', '.join(missing)} (`lso-bench evaluate`)." * bool(missing)
    return (
        f"-1: the more, the less. {tests} correlations; * where Holm's p over all of them is below 0.05. Of {n} models "
        f"no p is below {least:.2g} before and {min(1, tests * least):.2g} after Holm; the smallest here is "
        f"{context.p.min():.2g}.{unknown} The models share instances, starts and seeds, and each is one training: this "
        "shows what goes together in them, not what another training would give, nor what causes what"
    )


def _correlation(row: dict[str, Any], n: int) -> str | Cell:
    if math.isnan(row["estimate"]):
        return "-"
    fewer = f", n = {row['n']}" * (row["n"] < n)
    text = f"{row['estimate']:.2f}{'*' * (row['holm'] < 0.05)}{_within(row, '{:.2f}'.format)}{fewer}"
    return Cell(text, row["estimate"])


def _with_interval(row: dict[str, Any], form: Callable[[float], str]) -> Cell:
    return Cell(form(row["estimate"]) + _within(row, form), row["estimate"])


def _within(row: dict[str, Any], form: Callable[[float], str]) -> str:
    return "" if math.isnan(row["low"]) else f" ({form(row['low'])} .. {form(row['high'])})"


def _number(value: float) -> str:
    return significant(value, 3, 3)


def _p(p: float) -> str | Cell:
    return "" if math.isnan(p) else Cell("< 0.0001" if p < 0.0001 else f"{p:.2g}", p)
