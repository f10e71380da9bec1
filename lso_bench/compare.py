"""Records to measures: final losses, iterations to converge, and how much depends on the start.

A measure is a row of a long table: group, start, threshold, n, and median, quartiles, mean, and a 95 % interval of the
median (percentile bootstrap over the instances, so that several seeds of an instance do not count as independent).
A search that did not meet a threshold is **censored**: it counts as longer than all that did, never as absent.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from torch import Tensor

from lso_bench.record import Record
from lso_bench.spec import Spec

GROUP = ("task", "searcher", "model", "arch", "latent", "max_steps", "budget", "region", "decoding")

STATISTICS = ("n", "censored", "median", "low", "high", "q25", "q75", "mean")
COLUMNS = ("measure", "start", "threshold", *STATISTICS)


@dataclass(frozen=True)
class Comparison:
    """The measures of all groups, and what a reader must know beside them."""

    measures: pd.DataFrame
    notes: list[str]


def compare(records: Iterable[Record], tensors: Callable[[Spec], dict[str, Tensor]]) -> Comparison:
    """The measures of `records`; `tensors` gives the codes that a record leaves on disk."""
    usable, notes = [], []
    for r in records:
        usable.append(r) if r.members else notes.append(f"{r.spec.title}: {r.status}, left out ({r.error}).")
        if r.members and r.status != "ok":
            lost = sum(math.isnan(m.loss) for m in r.members)
            notes.append(f"{r.spec.title}: {r.status}; {lost} of {len(r.members)} searches have no finite loss.")
    rows = []
    for group, same in groupby(sorted(usable, key=_sort_key), key=_group):
        runs = list(same)
        rows += [dict(zip(GROUP, group, strict=True)) | m for m in _measures(runs, tensors)]
    return Comparison(pd.DataFrame(rows, columns=[*GROUP, *COLUMNS]), notes + list(_warnings(usable)))


def _group(record: Record) -> tuple:
    s = record.spec
    return s.task, s.searcher, s.model.name, s.model.arch, s.model.latent, s.max_steps, s.budget, s.region, s.decoding


def _sort_key(record: Record) -> tuple:
    return (*map(str, _group(record)), record.spec.key)


def _measures(runs: list[Record], tensors: Callable) -> Iterator[dict]:
    members = _members(runs)
    thresholds = runs[0].spec.thresholds
    for start, own in members.groupby("start", sort=False):
        yield {"measure": "loss", "start": start} | _statistics(own, "loss")
        yield {"measure": "norm", "start": start} | _statistics(own, "norm")
        for i, threshold in enumerate(thresholds):
            where = {"start": start, "threshold": threshold}
            yield {"measure": "iterations", **where} | _statistics(own.assign(steps=own[f"met{i}"]), "steps")
    for a, b in combinations(runs[0].spec.starts, 2):
        pairs = pd.concat(_pairs(r, tensors(r.spec), a, b) for r in runs)
        between = {"start": f"{a} - {b}"}
        for measure in ("gap", "distance"):
            yield {"measure": measure, **between} | _statistics(pairs, measure)
        for i, threshold in enumerate(thresholds):
            at = {"measure": "distance", **between, "threshold": threshold}
            yield at | _statistics(pairs.assign(d=pairs[f"distance{i}"]), "d")


def _members(runs: list[Record]) -> pd.DataFrame:
    """A row a search; thresholds not met are infinite."""
    return pd.DataFrame(
        {
            "start": m.start,
            "instance": m.instance,
            "loss": math.inf if math.isnan(m.loss) else m.loss,
            "norm": m.distance_to_prior,
        }
        | {f"met{i}": math.inf if s is None else s for i, s in enumerate(m.met)}
        for r in runs
        for m in r.members
    )


def _pairs(record: Record, tensors: dict[str, Tensor], a: str, b: str) -> pd.DataFrame:
    """For each instance: the gap of the final losses of two starts, and the squared distance of their codes at the
    end and at each threshold (where both met it).
    """
    at = {s: [i for i, m in enumerate(record.members) if m.start == s] for s in (a, b)}
    loss = np.array([m.loss for m in record.members])
    z, met = tensors["z"].double().numpy(), tensors["z_met"].double().numpy()
    distances = np.square(met[at[a]] - met[at[b]]).sum(-1)  # (i, t)
    return pd.DataFrame(
        {
            "instance": [record.members[i].instance for i in at[a]],
            "gap": np.abs(loss[at[a]] - loss[at[b]]),
            "distance": np.square(z[at[a]] - z[at[b]]).sum(-1),
        }
        | {f"distance{t}": distances[:, t] for t in range(distances.shape[1])}
    )


def _statistics(rows: pd.DataFrame, column: str) -> dict[str, int | float]:
    """n; how many of them have no finite value (censored); the order statistics of all but the undefined (NaN)."""
    table = rows.assign(run=rows.groupby("instance").cumcount()).pivot(index="instance", columns="run", values=column)
    values = table.to_numpy(dtype=float)  # (instances, runs)
    flat = values[~np.isnan(values)]
    lost = int((~np.isfinite(values)).sum())
    q25, q75 = np.quantile(flat, [0.25, 0.75], method="inverted_cdf").tolist() if len(flat) else [math.nan] * 2
    median = float(np.median(flat)) if len(flat) else math.nan
    finite = len(flat) > 0 and bool(np.isfinite(flat).all())
    low, high = _interval(values[~np.isnan(values).all(axis=1)]) if finite else (math.nan, math.nan)
    mean = float(flat.mean()) if finite else math.nan
    return dict(zip(STATISTICS, (values.size, lost, median, low, high, q25, q75, mean), strict=True))


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the median, instances resampled."""
    if len(values) < 2 or np.ptp(values[~np.isnan(values)]) == 0:
        return math.nan, math.nan

    def median(i: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.nanmedian(values[i.astype(int)], axis=(-2, -1))

    found = bootstrap((np.arange(len(values)),), median, n_resamples=2000, method="percentile", rng=0, vectorized=True)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _warnings(records: list[Record]) -> Iterator[str]:
    """What makes the groups of a task incomparable."""
    for task, same in groupby(sorted(records, key=lambda r: r.spec.task), key=lambda r: r.spec.task):
        runs, name = list(same), task.partition(":")[0]
        for what, value in {
            "budgets": lambda r: (r.spec.max_steps, r.spec.budget),
            "search regions": lambda r: r.spec.region,
            "data": lambda r: r.versions.get("data_sha256"),
            "decoding": lambda r: r.spec.decoding,
            "code versions": lambda r: r.versions.get("lso_bench"),
        }.items():
            if len({value(r) for r in runs}) > 1:
                yield f"{name}: the runs differ in {what}; compare only rows where it is the same."
        groups = [list(g) for _, g in groupby(sorted(runs, key=_sort_key), key=_group)]
        if len({tuple(sorted((r.spec.model.seed, r.spec.seeds.init) for r in g)) for g in groups}) > 1:
            yield f"{name}: the models were not run with the same seeds; their rows are not paired."
        yield from _mixed_weights(name, groups)


def _mixed_weights(task: str, groups: list[list[Record]]) -> Iterator[str]:
    """Models that are not what their name alone says."""
    for runs in groups:
        model = runs[0].spec.model.name
        if len({(r.spec.model.seed, r.spec.checkpoint) for r in runs}) > len({r.spec.model.seed for r in runs}):
            yield f"{task}: runs of {model} with different weights are pooled in one row."
        if any(r.versions.get("trained_on_sha256") not in (None, r.versions.get("data_sha256")) for r in runs):
            yield f"{task}: {model} was trained on other pixels than it was run on (other fonts or data)."
