"""Convergence of searches: steps to each stopping threshold, and costs to target losses that searches share.

A target is low + f (high - low). `high` is the median loss at the random starts of an instance, or at all starts if
none is random. `low` is the lowest loss that any compared search reached on the instance. A search that did not reach a
target is **censored**: it counts as longer than all that did, and is never left out. The expected running time (aRT) is
the cost of all searches, until success or their end, over the number of successes (ERT in Hansen et al. 2021, "COCO",
section 5).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import proportion_interval, ratio_interval
from lso_bench.analysis.table import Files, by_start, thresholds
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.store.columns import Columns

HISTORY_COLUMNS = ["start", "instance", "best", "steps", "evaluations"]  # columns that a loss history needs
FRACTIONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # from the lowest loss (0) to that of a random start (1)
COSTS = ("steps", "evaluations", "seconds")  # seconds are those of all problems of a run side by side
TARGETS_SHARED_BY = {  # searches that are equal in these columns share targets
    "task": ["task", "task_file", "decoding", "instance"],
    "model": ["task", "task_file", "decoding", "instance", "model", "arch", "latent", "train", "weights"],
}


RunHistory = tuple[Float[np.ndarray, "n s"], Float[np.ndarray, "c s"], Float[np.ndarray, "n c"]]  # see `_run_history`


@dataclass(frozen=True)
class LossHistories:
    """Loss histories of searches as far as recorded; if files are lost, only the lowest loss."""

    lowest: Sequence[Float[np.ndarray, " _"]]  # loss so far at each recorded step
    costs: Sequence[Float[np.ndarray, "c _"]]  # COSTS of its run up to there
    spent: Float[np.ndarray, "n c"]  # by the whole search; NaN: not known (files lost or of an older version)


@dataclass(frozen=True)
class HittingCosts:
    """Costs of n searches at each of f targets (infinite: not reached), and at their end."""

    at: dict[str, Float[np.ndarray, "n f"]]
    spent: dict[str, Float[np.ndarray, " n"]]


def by_threshold(group: pd.DataFrame) -> Iterator[dict]:
    """Yield the steps of each single search until it met each threshold."""
    for start, searches in by_start(group):
        for t in thresholds(group):
            steps = searches[f"met {t:g}"].dropna()
            statistics = order_statistics(steps.to_numpy(float), searches.block[steps.index].to_numpy())
            yield {"measure": "iterations", "start": start, "threshold": t} | statistics


def mean_loss_steps(runs: Sequence[Record]) -> Iterator[dict]:
    """Yield the steps until the mean loss over a start's problems met each threshold; n counts runs.

    Where problems stop one by one, the mean is known only until the first stops; runs without a value are left out.
    """
    stops = [
        {"start": start, "threshold": t, "steps": np.inf if step is None else float(step)}
        for r in runs
        for start, steps in r.joint.items()
        for t, step in zip(r.spec.thresholds, steps, strict=True)
        if step is not None or r.spec.joint or not _stopped_early(r)
    ]
    for start, rows in by_start(pd.DataFrame(stops, columns=["start", "threshold", "steps"])):
        for t, matching in rows.groupby("threshold"):
            statistics = order_statistics(matching.steps.to_numpy(), np.zeros(len(matching)))
            yield {"measure": "joint", "start": start, "threshold": t} | statistics


def _stopped_early(record: Record) -> bool:
    """Return whether a problem stopped before the run reached its limit."""
    columns = Columns.from_members(record.members)
    stopped = columns.rows[:, columns.names.index("stopped")].astype(int)
    return not {columns.words[i] for i in np.unique(stopped)} <= {"", "steps", "budget", "time"}


def loss_histories(searches: pd.DataFrame, records: Sequence[Record], files: Callable[[Spec], Files]) -> LossHistories:
    """Read the loss histories of all searches, in the order of their table; each trace is read once."""
    by_key = {r.spec.key: r for r in records}
    lowest, costs, spent = [], [], []
    for key, run_searches in searches.loc[:, ["key", *HISTORY_COLUMNS]].groupby("key", sort=False):
        losses, cost, total = _run_history(by_key[str(key)], run_searches, files) or _history_without_files(
            run_searches
        )
        lowest += [*losses]
        costs += [cost] * len(run_searches)
        spent.append(total)
    return LossHistories(lowest, costs, np.concatenate(spent))


def _run_history(record: Record, run_searches: pd.DataFrame, files: Callable[[Spec], Files]) -> RunHistory | None:
    """Return the lowest loss so far (at the end: the best), the run's COSTS, and the total costs of each search.

    None if its files are lost.
    """
    trace, costs = files(record.spec).trace(record.spec), files(record.spec).costs(record.spec)
    if trace is None or costs is None:
        return None
    steps, losses = recorded(trace, run_searches)
    losses[:, -1] = np.fmin(losses[:, -1], run_searches.best)
    losses[np.isnan(losses)] = np.inf
    row = pd.Index(costs.step).get_indexer(steps)  # -1: not recorded
    cost = np.stack([steps, *np.where(row < 0, np.nan, costs[["evaluations", "seconds"]].to_numpy(float)[row].T)])
    last_step = np.minimum(steps.searchsorted(run_searches.steps), len(steps) - 1)
    total = np.stack([run_searches.steps, run_searches.evaluations, cost[2, last_step]], axis=1)
    return np.minimum.accumulate(losses, axis=1), cost, np.minimum(cost[:, -1], total)


def _history_without_files(run_searches: pd.DataFrame) -> RunHistory:
    """Return what the record knows: the lowest losses, so that the targets of other runs do not change."""
    return (
        run_searches.best.to_numpy(float)[:, None],
        np.full((len(COSTS), 1), np.nan),
        np.full((len(run_searches), len(COSTS)), np.nan),
    )


def recorded(trace: pd.DataFrame, searches: pd.DataFrame) -> tuple[Int[np.ndarray, " s"], Float[np.ndarray, "n s"]]:
    """Return the steps of a run's trace, and the loss of each search at them; NaN where none was recorded."""
    steps, step_index = np.unique(trace.step, return_inverse=True)
    starts = pd.Index(searches.start.unique()).union(trace.start.unique())
    trace_row, search_row = (
        starts.get_indexer(t.start) + len(starts) * t.instance.to_numpy() for t in (trace, searches)
    )
    losses = np.full((len(searches) + 1, len(steps)), np.nan)  # the last row collects traces of no listed search
    losses[pd.Index(search_row).get_indexer(trace_row), step_index] = trace.loss
    return steps, losses[:-1]


def targets(searches: pd.DataFrame, histories: LossHistories, scope: str) -> Float[np.ndarray, "n f"]:
    """Return the target losses of each search's instance; searches equal in `TARGETS_SHARED_BY[scope]` share them."""
    lowest = np.array([p[-1] for p in histories.lowest])
    kind = searches.start.str.partition(":")[0]
    grouped = searches.assign(low=lowest, at_random=searches.first_loss.where(kind == "random")).groupby(
        TARGETS_SHARED_BY[scope]
    )
    low, high = (
        grouped.low.transform("min"),
        grouped.at_random.transform("median").fillna(grouped.first_loss.transform("median")),
    )
    return low.to_numpy()[:, None] + np.outer((high - low).to_numpy(), FRACTIONS)


def first_hitting_costs(histories: LossHistories, target_losses: Float[np.ndarray, "n f"]) -> HittingCosts:
    """Return the costs of the first recorded step at which the lowest loss so far is at or below each target."""
    costs = np.full((len(COSTS), *target_losses.shape), np.inf)
    for i, (lowest, cost, spent) in enumerate(zip(histories.lowest, histories.costs, histories.spent, strict=True)):
        first = (~(lowest[:, None] <= target_losses[i])).sum(axis=0)  # recorded steps before it
        reached = first < len(lowest)
        costs[:, i, reached] = np.minimum(cost[:, first[reached]], spent[:, None])
    return HittingCosts(dict(zip(COSTS, costs, strict=True)), dict(zip(COSTS, histories.spent.T, strict=True)))


def losses_at_thresholds(searches: pd.DataFrame, histories: LossHistories) -> dict[float, Float[np.ndarray, " n"]]:
    """Return the lowest loss of each search up to the step at which it met each threshold; NaN: not met or not known.

    Traces have points 5 % of the steps apart. Between two of them the loss is interpolated: it changes by less than the
    threshold there.
    """
    losses = {}
    for t in thresholds(searches):
        met = searches[f"met {t:g}"].to_numpy(float)
        losses[t] = np.full(len(met), np.nan)
        for i in np.flatnonzero(np.isfinite(met)).tolist():
            steps = histories.costs[i][COSTS.index("steps")]
            if not np.isnan(steps).any():
                losses[t][i] = np.interp(met[i], steps, histories.lowest[i])
    return losses


def to_targets(group: pd.DataFrame, hitting: HittingCosts) -> Iterator[dict]:
    """Yield steps, evaluations and seconds to each target, their expected running time, and the ECDF over targets.

    Each kind of start has its own. Searches whose cost is not known are left out; they are not censored.
    """
    known_searches = {cost: cast(pd.DataFrame, group[~np.isnan(hitting.spent[cost][group.index])]) for cost in COSTS}
    for cost, known in known_searches.items():
        for start, searches in by_start(known):
            spent, blocks = hitting.spent[cost][searches.index], searches.block.to_numpy()
            for i, fraction in enumerate(FRACTIONS):
                costs, labels = hitting.at[cost][searches.index, i], {"start": start, "target": fraction}
                yield {"measure": cost, **labels} | order_statistics(costs, blocks)
                yield {"measure": f"aRT:{cost}", **labels} | running_time(costs, spent, blocks)
    for start, searches in by_start(known_searches["evaluations"]):
        at = hitting.at["evaluations"][searches.index]
        yield from ({"start": start} | row for row in ecdf(at, searches.block.to_numpy()))


def running_time(costs: np.ndarray, spent: np.ndarray, instances: np.ndarray) -> dict[str, int | float]:
    """Return the expected running time (aRT); infinite if no search reached the target."""
    reached = np.isfinite(costs)
    ratio = ratio_interval(np.where(reached, costs, spent), reached.astype(float), instances)
    return {"n": len(costs), "censored": int((~reached).sum())} | ratio


def ecdf(costs: Float[np.ndarray, "n f"], instances: np.ndarray) -> Iterator[dict]:
    """Yield the fraction of (search, target) pairs reached within a number of evaluations.

    The last row is the fraction reached at all.
    """
    finite = costs[np.isfinite(costs)]
    if not len(finite):
        within = np.ones(1)
    else:
        within = np.unique(np.ceil(np.geomspace(max(finite.min(), 1), max(finite.max(), 1), 40)))
    for x in within:
        fraction = proportion_interval((costs <= x).mean(axis=1), instances)
        yield {"measure": "ecdf", "within": x, "n": costs.size, "censored": int((costs > x).sum())} | fraction
