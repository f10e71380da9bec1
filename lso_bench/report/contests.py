"""Paired comparisons of models or searchers, from the measures of a comparison."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.rank_tests import ALPHA
from lso_bench.analysis.table import GROUP_KEYS, is_random
from lso_bench.report.sections import Section, searcher_labels

SETTING = ["arch", "latent", "device"]  # columns that split comparisons over tasks
Rows = Mapping[str, Mapping[str, Any]]  # by contestant


@dataclass(frozen=True)
class Contest:
    """Contestants on the same instances, the best mean rank first."""

    factor: str  # model or searcher: what is compared
    context: str  # label of the searcher of compared models, or the model of compared searchers
    start: str
    threshold: float  # NaN: of another outcome than steps
    names: list[str]
    differences: Rows  # paired difference to the best, with its interval and p, by the worse contestant
    wins: Rows  # share of instances in which that one is better than the best
    n: int  # of `unit`
    unit: str  # instances, starts (of a single instance) or tasks
    ranks: Mapping[str, float]  # mean rank of each

    @property
    def best(self) -> str:
        return self.names[0]

    @property
    def worse(self) -> list[str]:
        """Contestants that are significantly worse than the best."""
        return [name for name in self.names[1:] if self.p(name) < ALPHA]

    @property
    def top(self) -> list[str]:
        """The best contestant, and those that are not significantly worse."""
        return [name for name in self.names if name not in self.worse]

    def p(self, name: str) -> float:
        """Return p of the difference of a contestant to the best one; NaN if it cannot be told."""
        return float(self.differences.get(name, {}).get("p", math.nan))


def contests(section: Section, factor: str, outcome: str) -> Iterator[Contest]:
    """Yield the comparisons of models (`factor`) under each searcher, or of searchers in each model, by start.

    Args:
        outcome: an outcome of `lso_bench.analysis.paired`.
    """
    keys = [*(c for c in GROUP_KEYS if c != factor), "start"]
    for _, ranked in section.rows(f"{factor} rank:{outcome}").groupby(keys, sort=False, dropna=False):
        rows = cast(list[dict[str, Any]], cast(pd.DataFrame, ranked).to_dict("records"))
        best, *rivals = rows
        label, context = ("model", "searcher_label") if factor == "model" else ("searcher_label", "model")
        pairs = {
            measure: {r[label]: section.row(f"{factor} {measure}:{outcome}", r, best[factor]) for r in rivals}
            for measure in ("difference", "wins")
        }
        names, threshold = [r[label] for r in rows], best["threshold"]
        limit = math.nan if threshold is None else float(threshold)
        ranks = {r[label]: float(r["estimate"]) for r in rows}
        yield Contest(
            factor,
            best[context],
            best["start"],
            limit,
            names,
            pairs["difference"],
            pairs["wins"],
            int(best["n"]),
            _unit(section, best["start"]),
            ranks,
        )


def _unit(section: Section, start: str) -> str:
    """Return what a comparison within a section has as its blocks; see `lso_bench.analysis.table.with_blocks`."""
    return "starts" if section.runs.instances.max() == 1 and is_random(start) else "instances"


def contests_over_tasks(comparison: Comparison, factor: str, outcome: str) -> Iterator[Contest]:
    """Yield the comparisons over tasks; their p is Nemenyi's, and n the number of tasks."""
    if comparison.tasks.empty:
        return
    tasks = comparison.tasks.assign(searcher_label=searcher_labels(comparison.tasks, comparison.by))
    keys = [*(c for c in GROUP_KEYS if c not in (factor, "decoding")), "start"]
    measures = [f"{factor} {m}:{outcome}" for m in ("rank", "wins", "nemenyi")]
    label, context = ("model", "searcher_label") if factor == "model" else ("searcher_label", "model")
    has_settings = len(tasks[SETTING].drop_duplicates()) > 1
    for _, compared in tasks[tasks.measure.isin(measures)].groupby(keys, sort=False, dropna=False):
        rows = cast(list[dict[str, Any]], cast(pd.DataFrame, compared).to_dict("records"))
        ranked = [r for r in rows if r["measure"] == measures[0]]
        best = ranked[0]
        against = {(r["measure"], r[label]): r for r in rows if r["against"] == best[factor]}
        ranks = {r[label]: float(r["estimate"]) for r in ranked}
        wins, nemenyi = ({n: against.get((m, n), {}) for n in [*ranks][1:]} for m in measures[1:])
        where = f"{best[context]} ({best['arch']}, d={best['latent']})" if has_settings else best[context]
        yield Contest(factor, where, best["start"], math.nan, [*ranks], nemenyi, wins, int(best["n"]), "tasks", ranks)
