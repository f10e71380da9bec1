"""Measures of a comparison, from records: final losses, convergence, dependence on the start, ranks.

A measure is a row of a long table, from which tables, JSON, CSV and figures are made. Its columns are GROUP_KEYS,
measure, start, threshold or target, n, an estimate with a 95 % interval, quartiles and mean. Intervals come from
resampled instances, so that several seeds of an instance do not count as independent.

The estimate is the median of loss, best, norm (|z|), norm u (|u|), consistency, beside, iterations, joint, steps,
evaluations, seconds, spread, gap and distance, and of the shares evaluations:valid and evaluations:distinct of runs. It
is a fraction for distinct, beside:valid, beside:novel, beside:exact, beside:retrieved, basin and ecdf, and the value
itself for usual, aRT (expected running time) and variance. Rows with `against` and p compare models or searchers: see
`paired`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from lso_bench.analysis import convergence, paired, start_sensitivity
from lso_bench.analysis.bootstrap import STATISTICS, order_statistics
from lso_bench.analysis.caveats import caveats, without_coordinates
from lso_bench.analysis.collapse import Collapse, collapse
from lso_bench.analysis.groups import gap_to_best, group_summary, text_shares
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.table import GROUP_KEYS, Files, by_start, shared, sort_key, table
from lso_bench.analysis.united import original
from lso_bench.analysis.unpaired import unpaired
from lso_bench.analysis.variance import decomposition
from lso_bench.record import SHARES, Record
from lso_bench.run_settings import PRIOR
from lso_bench.spec import Spec
from lso_bench.vae.metrics import Metrics

PER_SEARCH: dict[str, Callable[[pd.DataFrame], Any]] = {  # statistics of single searches, from their table
    "loss": lambda searches: searches["loss"],
    "best": lambda searches: searches["best"],
    "norm": lambda searches: searches["norm"],
}
COLUMNS = ("measure", "start", "threshold", "target", "within", "against", *STATISTICS, "p")
Targets = Literal["task", "model"]
GroupStatistics = Callable[[pd.DataFrame], list[dict]]  # from the searches of a group to its measures


@dataclass(frozen=True)
class Comparison:
    """The measures of all groups, and the notes that a reader needs."""

    measures: pd.DataFrame
    notes: list[str]
    targets: Targets = "task"
    by: tuple[str, ...] = ()  # fields that split the groups beyond GROUP_KEYS
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per group: see `lso_bench.analysis.groups`
    tasks: pd.DataFrame = field(default_factory=pd.DataFrame)  # measures across tasks: see `paired.across_tasks`
    collapse: Collapse = field(default_factory=Collapse)
    searches: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per search: see `table.table`
    histories: convergence.LossHistories | None = None  # of these searches, if their files were read


def compare(
    records: Iterable[Record],
    files: Callable[[Spec], Files] | None,
    targets: Targets = "task",
    by: Sequence[str] = (),
    spaces: Mapping[str, Metrics] | None = None,
) -> Comparison:
    """Compute the measures of `records`.

    Args:
        files: returns the store of a run's trace, costs and latents. With None, measures that need them are left out:
            costs of target losses, and distances of latents.
        targets: the searches that set the lowest target loss: those of all models ("task", to compare models) or of
            each trained model ("model", to compare searchers).
        by: fields of `lso_bench.analysis.fields` that split the groups further.
        spaces: measured latent spaces, by the sha256 of the checkpoint.
    """
    ordered, usable, failed = _by_outcome(records, by)
    searches = table(usable, by)
    if searches.empty:
        return _comparison(ordered, targets, by, (), (), {})
    histories = convergence.loss_histories(searches, usable, files) if files else None
    at_thresholds = convergence.losses_at_thresholds(searches, histories) if histories else {}
    without_u: set[str] = set()  # keys, which the statistics add
    statistics = _group_statistics(searches, usable, files, targets, by, histories, at_thresholds, without_u)
    groups = [(group, statistics(group)) for _, group in searches.groupby("group_id", sort=False)]
    rows = [*(row for _, group_rows in groups for row in group_rows), *paired.rows(searches, failed, by, at_thresholds)]
    checkpoint_rows = [
        pair for group, group_rows in groups for pair in _by_checkpoint(group, group_rows, statistics, spaces or {})
    ]
    tasks = paired.across_tasks(searches, failed, by)
    spaces_compared = collapse(checkpoint_rows, spaces or {}, _unmeasured(groups, usable, spaces or {}))
    compared = _comparison(ordered, targets, by, rows, tasks, unpaired(searches, failed, by))
    notes = [*compared.notes, *without_coordinates([r for r in usable if r.spec.key in without_u])]
    return replace(compared, notes=notes, collapse=spaces_compared, searches=searches, histories=histories)


def brief(records: Iterable[Record], targets: Targets = "task", by: Sequence[str] = ()) -> Comparison:
    """Compute the measures that a summary shows, which need no files and a fraction of the time.

    They are final losses, shares of valid samples, steps to thresholds, and paired comparisons of losses, steps and the
    gaps at the end.
    """
    ordered, usable, failed = _by_outcome(records, by)
    searches = table(usable, by)
    if searches.empty:
        return _comparison(ordered, targets, by, (), (), {})
    rows = []
    for _, group in searches.groupby("group_id", sort=False):
        head = shared(group, by)
        valid = (row for start, searches in by_start(group) for row in _beside(start, searches, "beside:valid$"))
        rows += [head | row for row in (*_per_search(group), *valid, *convergence.by_threshold(group))]
    rows += paired.rows(searches, failed, by)
    tasks = paired.across_tasks(searches, failed, by)
    compared = _comparison(ordered, targets, by, rows, tasks, unpaired(searches, failed, by))
    return replace(compared, searches=searches)


def _by_outcome(records: Iterable[Record], by: Sequence[str]) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the records in order, then those with searches, then those that failed."""
    ordered = sorted(records, key=lambda r: sort_key(r, by))
    return ordered, [r for r in ordered if r.members], [r for r in ordered if not r.members]


def _comparison(
    records: list[Record],
    targets: Targets,
    by: Sequence[str],
    rows: Iterable[dict],
    tasks: Iterable[dict],
    unpaired: Mapping[str, Sequence[str]],
) -> Comparison:
    """Return the comparison with these measures, within and across tasks, and what is not paired."""
    columns = [*GROUP_KEYS, *by, *COLUMNS]
    measures, over_tasks = (pd.DataFrame(list(r), columns=columns) for r in (rows, tasks))
    runs = group_summary(records, by)
    return Comparison(measures, caveats(records, unpaired, by), targets, tuple(by), runs, over_tasks)


def _group_statistics(
    searches: pd.DataFrame,
    records: list[Record],
    files: Callable | None,
    targets: Targets,
    by: Sequence[str],
    histories: convergence.LossHistories | None,
    at_thresholds: Mapping[float, np.ndarray],
    without_u: set[str],
) -> GroupStatistics:
    """Return the function that computes the rows of a group, or of a part of one.

    It adds to `without_u` the keys of runs that have no distances, because they were stored without u.
    """
    by_key = {r.spec.key: r for r in records}
    target_costs = _target_costs(searches, histories, targets) if histories else None
    gaps = gap_to_best(searches)

    def between_starts(group: pd.DataFrame, files: Callable[[Spec], Files]) -> Iterator[dict]:
        latents = start_sensitivity.final_latents(group, by_key, files)
        without_u.update(latents.without_u)
        losses = {t: losses[group.index] for t, losses in at_thresholds.items()}
        return start_sensitivity.pair_statistics(group, latents, losses)

    def rows(group: pd.DataFrame) -> list[dict]:
        runs = [by_key[k] for k in group.key.unique()]
        parts = (
            _per_search(group),
            gaps[group.group_id.iloc[0]],
            _auxiliary(group, {name: value for run in reversed(runs) for name, value in run.usual.items()}),
            text_shares(runs),
            convergence.by_threshold(group),
            convergence.mean_loss_steps(runs),
            convergence.to_targets(group, target_costs) if target_costs else (),
            start_sensitivity.spread(group),
            between_starts(group, files) if files else (),
            decomposition(group),
        )
        head = shared(group, by)
        return [head | row for part in parts for row in part]

    return rows


def _by_checkpoint(
    group: pd.DataFrame, rows: list[dict], statistics: GroupStatistics, spaces: Mapping[str, Metrics]
) -> Iterator[tuple[str, list[dict]]]:
    """Yield the rows of each checkpoint of a group whose latent space was measured."""
    for sha, part in group.groupby("weights", sort=False):
        if sha in spaces:
            yield str(sha), rows if len(part) == len(group) else statistics(part)


def _unmeasured(
    groups: Iterable[tuple[pd.DataFrame, list[dict]]], records: Iterable[Record], spaces: Mapping[str, Metrics]
) -> Iterator[dict]:
    """Yield a row for each checkpoint of a group whose latent space was not measured."""
    trained = {r.spec.checkpoint: original(r.spec.model) for r in records}
    for group, _ in groups:
        absent = [sha for sha in group.weights.unique() if sha not in spaces]
        yield from (shared(group) | {"weights": sha, "trained": trained[sha]} for sha in absent)


def _target_costs(
    searches: pd.DataFrame, histories: convergence.LossHistories, targets: Targets
) -> convergence.HittingCosts:
    return convergence.first_hitting_costs(histories, convergence.targets(searches, histories, targets))


def _per_search(group: pd.DataFrame) -> Iterator[dict]:
    """Yield the statistics of single searches: the median over searches, and its interval over instances."""
    for start, searches in by_start(group):
        for measure, statistic in PER_SEARCH.items():
            statistics = order_statistics(statistic(searches).to_numpy(float), searches.block.to_numpy())
            yield {"measure": measure, "start": start} | statistics


def _auxiliary(group: pd.DataFrame, baseline: dict[str, float]) -> Iterator[dict]:
    """Yield |u|, latent consistency, the fraction of distinct images and the auxiliary measures, where recorded."""
    in_u = "|norm u" * (group.space.iloc[0] != PRIOR)
    for start, searches in by_start(group):
        yield from _beside(start, searches, f"consistency|beside:{in_u}")
        if len(images := searches.loc[searches.image.notna(), ["weights", "image"]]):
            distinct = len(images.drop_duplicates()) / len(images)  # of all runs in a trained model
            yield {"measure": "distinct", "start": start, "n": len(images), "censored": 0, "estimate": distinct}
    for name, value in baseline.items():
        yield {"measure": f"usual:{name}", "n": 1, "censored": 0, "estimate": value}


def _beside(start: str, searches: pd.DataFrame, pattern: str) -> Iterator[dict]:
    """Yield the auxiliary measures of searches whose names begin with a pattern, where recorded."""
    for measure in searches.columns[searches.columns.str.match(pattern)]:
        recorded = searches.loc[searches[measure].notna(), [measure, "block"]]
        if len(recorded):
            yield {"measure": measure, "start": start} | _auxiliary_statistics(measure, recorded)


def _auxiliary_statistics(measure: str, recorded: pd.DataFrame) -> dict[str, int | float]:
    values, blocks = recorded[measure].to_numpy(float), recorded.block.to_numpy()
    if measure.removeprefix("beside:") not in SHARES:
        return order_statistics(values, blocks)
    return {"n": len(values), "censored": 0, "mean": values.mean()} | proportion_interval(values, blocks)
