"""Records to measures: final losses, how soon searches are there, and how much depends on the start.

A measure is a row of a long table, from which tables, JSON, CSV and figures are made: what is pooled (GROUP), measure,
start, threshold or target, n, an estimate with a 95 % interval (instances resampled, so that several seeds of one do
not count as independent), quartiles and mean. Of loss, best, norm, consistency, beside, iterations, joint, steps,
evaluations, seconds, spread, gap and distance the estimate is the median; of distinct, beside:valid, basin and ecdf a
share; of usual, aRT and variance the figure itself. Rows of contestants, with `against` and p: `paired`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from lso_bench.analysis import convergence, paired, start_sensitivity
from lso_bench.analysis.bootstrap import STATISTICS, order_statistics
from lso_bench.analysis.caveats import caveats
from lso_bench.analysis.collapse import Collapse, collapse
from lso_bench.analysis.groups import gap_to_best, group_summary
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.table import GROUP_KEYS, Files, by_start, sort_key, table
from lso_bench.analysis.variance import decomposition
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.vae.metrics import Metrics

COLUMNS = ("measure", "start", "threshold", "target", "within", "against", *STATISTICS, "p")
Targets = Literal["task", "model"]
GroupStatistics = Callable[[pd.DataFrame], list[dict]]  # searches to their measures


@dataclass(frozen=True)
class Comparison:
    """The measures of all groups, and what a reader must know beside them."""

    measures: pd.DataFrame
    notes: list[str]
    targets: Targets = "task"
    by: tuple[str, ...] = ()  # the fields, beside GROUP, that split the groups
    runs: pd.DataFrame = field(default_factory=pd.DataFrame)  # a row a group: see `lso_bench.analysis.groups`
    tasks: pd.DataFrame = field(default_factory=pd.DataFrame)  # measures over several: see `paired.across_tasks`
    collapse: Collapse = field(default_factory=Collapse)


def compare(
    records: Iterable[Record],
    files: Callable[[Spec], Files] | None,
    targets: Targets = "task",
    by: Sequence[str] = (),
    spaces: Mapping[str, Metrics] | None = None,
) -> Comparison:
    """The measures of `records`.

    Args:
        files: where a run's trace, costs and codes lie; None: without what only they tell, the way to target losses
            and the distance of codes.
        targets: whether the lowest loss that targets go down to is that of all models ("task": models are compared)
            or of each trained model ("model": searchers are compared).
        by: fields of `lso_bench.analysis.fields` that split the groups further.
        spaces: measured latent spaces, by the sha256 of the checkpoint.
    """
    ordered = sorted(records, key=lambda r: sort_key(r, by))
    usable, failed = ([r for r in ordered if bool(r.members) is there] for there in (True, False))
    searches, runs = table(usable, by), group_summary(ordered, by)
    columns = [*GROUP_KEYS, *by, *COLUMNS]
    if searches.empty:
        return Comparison(pd.DataFrame(columns=columns), caveats(ordered), targets, tuple(by), runs)
    measured = _measuring(searches, usable, files, targets, by)
    groups = [(own, measured(own)) for _, own in searches.groupby("line", sort=False)]
    rows = [*(row for _, of in groups for row in of), *paired.rows(searches, failed, by)]
    alone = [pair for own, of in groups for pair in _by_checkpoint(own, of, measured, spaces or {})]
    tasks = pd.DataFrame(paired.across_tasks(searches, failed, by), columns=columns)
    found = collapse(alone, spaces or {})
    return Comparison(pd.DataFrame(rows, columns=columns), caveats(ordered), targets, tuple(by), runs, tasks, found)


def _measuring(
    searches: pd.DataFrame, records: list[Record], files: Callable | None, targets: Targets, by: Sequence[str]
) -> GroupStatistics:
    """What gives the rows of any of the searches that share a group."""
    by_key = {r.spec.key: r for r in records}
    hits = _hits(searches, records, files, targets) if files else None
    apart = gap_to_best(searches)

    def rows(own: pd.DataFrame) -> list[dict]:
        head: dict[str, Any] = {k: own[k].iloc[0] for k in (*GROUP_KEYS, *by)}
        runs = [by_key[k] for k in own.key.unique()]
        parts = (
            _ends(own),
            apart[own.line.iloc[0]],
            _beside(own, runs[0].usual),
            convergence.by_threshold(own),
            convergence.mean_loss_steps(runs),
            convergence.to_targets(own, hits) if hits else (),
            start_sensitivity.spread(own),
            start_sensitivity.pair_statistics(own, start_sensitivity.final_latents(own, by_key, files))
            if files
            else (),
            decomposition(own),
        )
        return [head | row for part in parts for row in part]

    return rows


def _by_checkpoint(
    own: pd.DataFrame, rows: list[dict], measured: GroupStatistics, spaces: Mapping[str, Metrics]
) -> Iterator[tuple[str, list[dict]]]:
    """Of a group, whose rows these are, those of each checkpoint whose latent space was measured."""
    for sha, part in own.groupby("weights", sort=False):
        if sha in spaces:
            yield str(sha), rows if len(part) == len(own) else measured(part)


def _hits(searches: pd.DataFrame, records: list[Record], files: Callable, targets: Targets) -> convergence.HittingCosts:
    paths = convergence.loss_histories(searches, records, files)
    return convergence.first_hitting_costs(paths, convergence.targets(searches, paths, targets))


def _ends(own: pd.DataFrame) -> Iterator[dict]:
    """Where searches ended: loss, lowest loss seen, distance to the mean of the prior."""
    for start, these in by_start(own):
        for measure in ("loss", "best", "norm"):
            found = order_statistics(these[measure].to_numpy(float), these.instance.to_numpy())
            yield {"measure": measure, "start": start} | found


def _beside(own: pd.DataFrame, usual: dict[str, float]) -> Iterator[dict]:
    """Where it was noted: latent consistency, the share of images that differ, and what the task reports beside."""
    for start, these in by_start(own):
        for measure in own.columns[own.columns.str.match("consistency|beside:")]:
            there = these.dropna(subset=[measure])
            if len(there):
                yield {"measure": measure, "start": start} | _noted(measure, there)
        if len(images := these.dropna(subset=["image"])):
            differ = len(images.drop_duplicates(["weights", "image"])) / len(images)  # of all runs in a trained model
            yield {"measure": "distinct", "start": start, "n": len(images), "censored": 0, "estimate": differ}
    for name, value in usual.items():
        yield {"measure": f"usual:{name}", "n": 1, "censored": 0, "estimate": value}


def _noted(measure: str, there: pd.DataFrame) -> dict[str, int | float]:
    values, instances = there[measure].to_numpy(float), there.instance.to_numpy()
    if measure != "beside:valid":
        return order_statistics(values, instances)
    return {"n": len(values), "censored": 0, "mean": values.mean()} | proportion_interval(values, instances)
