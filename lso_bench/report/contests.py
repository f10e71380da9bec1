"""Paired comparisons of models or searchers, from the measures of a comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.groups import pooled_versions
from lso_bench.analysis.rank_tests import ALPHA, BLOCKS, fewest_blocks
from lso_bench.analysis.table import GROUP_KEYS, is_random, start_order
from lso_bench.analysis.united import NO_LATENT, SEVERAL
from lso_bench.report.sections import Section, searcher_labels, short_value
from lso_bench.run_settings import IN_TABLES, RUN_SETTINGS, region_text

WITHOUT_TEST = "?: not compared with the others of its column: too few common seeds"
SETTING = ["arch", "latent", "device", "region", *IN_TABLES]  # what contests with the same context may differ in
Rows = Mapping[str, Mapping[str, Any]]  # by contestant


@dataclass(frozen=True)
class Contest:
    """Contestants on the same instances, the best mean rank first."""

    factor: str  # model or searcher: what is compared
    context: str  # label of the searcher of compared models, or the model of compared searchers
    start: str
    threshold: float  # NaN: of another outcome than steps
    n: int  # of `unit`
    unit: str  # instances, starts (of a single instance) or tasks
    ranks: Mapping[str, float]  # mean rank of each, the best first
    differences: Rows  # paired difference to the best, with its interval and p, by the worse contestant
    wins: Rows  # share of instances in which that one is better than the best
    effects: Rows  # rank-biserial correlation with the best, below 0 if worse; not over tasks
    pooled: str = ""  # of what versions results are pooled, of which no test tells

    @property
    def names(self) -> list[str]:
        return [*self.ranks]

    @property
    def best(self) -> str:
        return self.names[0]

    @property
    def worse(self) -> list[str]:
        """Contestants that are significantly worse than the best, by the ranks of the differences too."""
        return [name for name in self.names[1:] if self.p(name) < ALPHA and not self._is_better(name)]

    @property
    def contradicting(self) -> list[str]:
        """Contestants with a higher mean rank whose differences to the best are significantly in their favour."""
        return [name for name in self.names[1:] if self.p(name) < ALPHA and self._is_better(name)]

    @property
    def top(self) -> list[str]:
        """The best contestant, and those that are not significantly worse."""
        return [name for name in self.names if name not in self.worse]

    @property
    def is_tested(self) -> bool:
        """Return whether there are enough blocks, and contestants, for a test that can find a difference."""
        return self.n >= self.fewest_blocks and any(not math.isnan(self.p(name)) for name in self.names[1:])

    @property
    def fewest_blocks(self) -> int:
        """The fewest blocks of a test that can find a difference between so many contestants."""
        return BLOCKS if self.unit == "tasks" else fewest_blocks(len(self.names))

    def p(self, name: str) -> float:
        """Return p of the difference of a contestant to the best one; NaN if it cannot be told."""
        return math.nan if self.pooled else float(self.differences.get(name, {}).get("p", math.nan))

    def _is_better(self, name: str) -> bool:
        return self.effects.get(name, {}).get("estimate", -1.0) > 0


def contests(section: Section, factor: str, outcome: str) -> list[Contest]:
    """Return the comparisons of models (`factor`) under each searcher, or of searchers in each model, by start.

    Args:
        outcome: an outcome of `lso_bench.analysis.paired`.
    """
    if (factor, outcome) not in section.contests:
        section.contests[factor, outcome] = _of_section(section, factor, outcome)
    return section.contests[factor, outcome]


def _of_section(section: Section, factor: str, outcome: str) -> list[Contest]:
    keys = [*(c for c in (*GROUP_KEYS, *section.by) if c != factor), "start"]
    measures = [f"{factor} {m}:{outcome}" for m in ("rank", "difference", "wins", "effect")]
    is_single = section.runs.instances.max() == 1
    groups = _groups(section.measures, keys, measures)
    units = ["starts" if is_single and is_random(rows[0]["start"]) else "instances" for rows in groups]
    pooled = [pooled_versions(_runs_of(rows[0], keys, section.runs)) for rows in groups]
    return _contests(groups, factor, measures, units, section.by, pooled)


def contests_over_tasks(comparison: Comparison, factor: str, outcome: str) -> list[Contest]:
    """Return the comparisons over tasks; their p is Nemenyi's, and n the number of tasks."""
    if comparison.tasks.empty:
        return []
    tasks = comparison.tasks.assign(searcher_label=searcher_labels(comparison.tasks, comparison.by))
    keys = [*(c for c in (*GROUP_KEYS, *comparison.by) if c not in (factor, "decoding")), "start"]
    measures = [f"{factor} {m}:{outcome}" for m in ("rank", "nemenyi", "wins", "effect")]
    groups = _groups(tasks, keys, measures)
    pooled = [_pooled_in_a_task(_runs_of(rows[0], keys, comparison.runs)) for rows in groups]
    return _contests(groups, factor, measures, ["tasks"] * len(groups), comparison.by, pooled)


def starred(section: Section, factor: str = "model") -> dict[str, list[str]]:
    """Return, by searcher, the models that are not significantly worse than the best, where any model is.

    With `factor` "searcher" it is the searchers, by model.
    """
    compared = from_first_start(contests(section, factor, "loss"))
    return {c.context: c.top for c in compared if c.worse}


def without_test(section: Section, factor: str = "model") -> dict[str, list[str]]:
    """Return, by searcher, the models that are not compared with the others, where any model is starred.

    With `factor` "searcher" it is the searchers, by model.
    """
    compared = from_first_start(contests(section, factor, "loss"))
    known = _contestants(section, factor)
    return {c.context: [name for name in known if name not in c.names] for c in compared if c.worse}


def has_starred_higher(section: Section, factor: str = "model") -> bool:
    """Return whether a starred median is higher than one without a star: the test is of pairs, not of medians."""
    alone, is_model = without_test(section, factor), factor == "model"
    for context, top in starred(section, factor).items():
        pairs = {name: (name, context) if is_model else (context, name) for name in _contestants(section, factor)}
        medians = {name: section.median_loss(*pair) for name, pair in pairs.items()}
        worse_medians = [median for name, median in medians.items() if name not in (*top, *alone[context])]
        if any(medians[name] > median for name in top for median in worse_medians):
            return True
    return False


def _contestants(section: Section, factor: str) -> list[str]:
    return section.models if factor == "model" else section.searcher_labels


def from_first_start(compared: Sequence[Contest]) -> list[Contest]:
    """Return the contests from one kind of start: random, if there is one."""
    kinds = {c.start: [start_order(kind) for kind in c.start.split(" - ")] for c in compared}
    start = min(kinds, key=lambda kind: kinds[kind], default="")
    return [c for c in compared if c.start == start]


def not_compared(section: Section, compared: Sequence[Contest]) -> dict[str, str]:
    """Return the models or searchers of a section that no contest has, each with what sets it apart."""
    if not compared:
        return {}
    column = "model" if compared[0].factor == "model" else "searcher_label"
    rows, inside = section.measures, {name for c in compared for name in c.names}
    beside = cast(pd.DataFrame, rows[rows[column].isin([*inside])])
    left_out = [str(name) for name in rows[column].dropna().unique() if name not in inside]
    return {name: _apart(cast(pd.DataFrame, rows[rows[column] == name]), beside) for name in left_out}


def _apart(rows: pd.DataFrame, beside: pd.DataFrame) -> str:
    """Return the settings that rows have and those beside have not, as a short text."""
    differing = [k for k in SETTING if k in rows and not {*map(str, rows[k])} & {*map(str, beside[k])}]
    return ", ".join(_setting_text(k, rows[k].iloc[0]) for k in differing) or "other starts, seeds or limits"


def _groups(table: pd.DataFrame, keys: list[str], measures: list[str]) -> list[list[dict[str, Any]]]:
    """Return the rows of each comparison."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    rows = cast(pd.DataFrame, table[table.measure.isin(measures)])
    for row in cast(list[dict[str, Any]], rows.to_dict("records")):
        groups.setdefault(tuple(None if pd.isna(row[k]) else row[k] for k in keys), []).append(row)
    return [*groups.values()]


def _runs_of(row: Mapping[str, Any], keys: Sequence[str], runs: pd.DataFrame) -> pd.DataFrame:
    """Return the groups of runs that have the values of a row in `keys`, as far as they have these columns."""
    known = [k for k in keys if k in runs and not (k == "task" and row[k] not in {*runs[k]})]
    equal = [runs[k].isna() if pd.isna(row[k]) else runs[k] == row[k] for k in known]
    return cast(pd.DataFrame, runs[pd.concat(equal, axis=1).all(axis=1)])


def _pooled_in_a_task(runs: pd.DataFrame) -> str:
    """Return of what several versions the results of a task are, if of any."""
    return next(filter(None, (pooled_versions(of_task) for _, of_task in runs.groupby("task", sort=False))), "")


def _contests(
    groups: Sequence[list[dict[str, Any]]],
    factor: str,
    measures: list[str],
    units: list[str],
    by: Sequence[str],
    pooled: Sequence[str],
) -> list[Contest]:
    """Return the contest of each group of rows; contexts of the same name get the settings in which they differ."""
    pairs = [
        (replace(_contest(rows, factor, measures, unit), pooled=versions), rows[0])
        for rows, unit, versions in zip(groups, units, pooled, strict=True)
    ]
    named = []
    for contest, row in pairs:
        namesakes = [r for c, r in pairs if (c.context, c.start) == (contest.context, contest.start)]
        differing = [k for k in (*SETTING, *by) if len({str(r[k]) for r in namesakes}) > 1]
        if all(r["budget"] <= r["max_steps"] for r in namesakes):  # evaluations limit these searches, not steps
            differing = [k for k in differing if k != "max_steps"]
        enough = [k for k in differing if len({str(r[k]) for r in namesakes}) == len(namesakes)]
        differing = enough[:1] or differing
        texts = dict.fromkeys(_setting_text(k, row[k]) for k in differing)
        suffix = f" ({', '.join(texts)})" if differing else ""
        named.append(replace(contest, context=f"{contest.context}{suffix}"))
    return named


def _setting_text(name: str, value: Any) -> str:
    """Return a setting of a contest as a short text."""
    if (name, value) in (("arch", SEVERAL), ("latent", NO_LATENT)):
        return f"{SEVERAL} architectures"
    if name == "region":
        return region_text(str(value))
    return (RUN_SETTINGS[name].label(value) or f"no {name}") if name in RUN_SETTINGS else f"{name} {short_value(value)}"


def _contest(rows: list[dict[str, Any]], factor: str, measures: list[str], unit: str) -> Contest:
    """Return the contest of some rows; `measures` are those of rank, difference, wins and effect."""
    label, context = ("model", "searcher_label") if factor == "model" else ("searcher_label", "model")
    ranked = [r for r in rows if r["measure"] == measures[0]]
    best = ranked[0]
    against_best = {(r["measure"], r[label]): r for r in rows if r["against"] == best[factor]}
    ranks = {r[label]: float(r["estimate"]) for r in ranked}
    differences, wins, effects = (
        {name: r for name in ranks if (r := against_best.get((measure, name)))} for measure in measures[1:]
    )
    threshold = math.nan if best["threshold"] is None else float(best["threshold"])
    n = int(best["n"])
    return Contest(factor, best[context], best["start"], threshold, n, unit, ranks, differences, wins, effects)
