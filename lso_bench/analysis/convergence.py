"""How soon searches are there: at each stopping threshold, and at target losses that all searches share.

A target is low + f (high - low): `high` is the median loss at the random starts of an instance (where there are none,
at all starts), `low` the lowest that any of the compared searches reached there. A search that did not reach it is
**censored**: it counts as longer than all that did, never as absent. The expected running time (aRT) is what all
searches spent, until success or their end, over the number of successes: Hansen et al. 2021, "COCO", section 5 (ERT).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import quotient, share
from lso_bench.analysis.table import Files, by_start, thresholds
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.store.columns import Columns

OF_PATH = ["start", "instance", "best", "steps", "evaluations"]  # columns that the way of a search takes
FRACTIONS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)  # of the way from the lowest loss to that of a random start
COSTS = ("steps", "evaluations", "seconds")  # seconds are those of all problems of a run side by side
SAME = {  # searches that share targets
    "task": ["task", "source", "decoding", "instance"],
    "model": ["task", "source", "decoding", "instance", "model", "arch", "latent", "train", "weights"],
}


Way = tuple[Float[np.ndarray, "n s"], Float[np.ndarray, "c s"], Float[np.ndarray, "n c"]]  # of a run: see `_of_run`


@dataclass(frozen=True)
class Paths:
    """The way of each search, as far as it was recorded; of one whose files are lost only the lowest loss."""

    lowest: Sequence[Float[np.ndarray, " _"]]  # loss so far at each recorded step
    costs: Sequence[Float[np.ndarray, "c _"]]  # COSTS of its run up to there
    spent: Float[np.ndarray, "n c"]  # by the whole search; NaN: not known, for its files are lost or older


@dataclass(frozen=True)
class Hits:
    """What each of n searches had spent at each target (infinite: not reached), and at its end."""

    at: dict[str, Float[np.ndarray, "n f"]]
    spent: dict[str, Float[np.ndarray, " n"]]


def by_threshold(own: pd.DataFrame) -> Iterator[dict]:
    """Steps until each threshold is met, of each search alone."""
    for start, these in by_start(own):
        for t in thresholds(own):
            steps = these[f"met {t:g}"].dropna()
            found = order_statistics(steps.to_numpy(float), these.instance[steps.index].to_numpy())
            yield {"measure": "iterations", "start": start, "threshold": t} | found


def jointly(runs: Sequence[Record]) -> Iterator[dict]:
    """Steps until the mean loss over a start's problems met each threshold; n counts the runs of which that is known.

    Where problems leave one by one, the mean is followed until the first does.
    """
    met = [
        {"start": start, "threshold": t, "steps": np.inf if at is None else float(at)}
        for r in runs
        for start, steps in r.joint.items()
        for t, at in zip(r.spec.thresholds, steps, strict=True)
        if at is not None or r.spec.joint or not _left(r)
    ]
    for start, these in by_start(pd.DataFrame(met, columns=["start", "threshold", "steps"])):
        for t, same in these.groupby("threshold"):
            found = order_statistics(same.steps.to_numpy(), np.zeros(len(same)))
            yield {"measure": "joint", "start": start, "threshold": t} | found


def _left(record: Record) -> bool:
    """Whether a problem left before the run came to its end."""
    columns = Columns.from_members(record.members)
    stopped = columns.rows[:, columns.names.index("stopped")].astype(int)
    return not {columns.words[i] for i in np.unique(stopped)} <= {"", "steps", "budget", "time"}


def paths(searches: pd.DataFrame, records: Sequence[Record], files: Callable[[Spec], Files]) -> Paths:
    """Of all searches, in the order of their table; each run's trace is read once."""
    by_key = {r.spec.key: r for r in records}
    lowest, costs, spent = [], [], []
    for key, own in searches.loc[:, ["key", *OF_PATH]].groupby("key", sort=False):
        losses, cost, most = _of_run(by_key[str(key)], own, files) or _lost(own)
        lowest += [*losses]
        costs += [cost] * len(own)
        spent.append(most)
    return Paths(lowest, costs, np.concatenate(spent))


def _of_run(record: Record, own: pd.DataFrame, files: Callable[[Spec], Files]) -> Way | None:
    """The lowest loss so far, with the best of all at the end; COSTS of the run; what each search spent.

    None: its files are lost.
    """
    trace, costs = files(record.spec).trace(record.spec), files(record.spec).costs(record.spec)
    if trace is None or costs is None:
        return None
    steps, losses = recorded(trace, own)
    losses[:, -1] = np.fmin(losses[:, -1], own.best)
    losses[np.isnan(losses)] = np.inf
    spent = costs.set_index("step").reindex(steps)[["evaluations", "seconds"]]
    cost = np.stack([steps, *spent.to_numpy(float).T])
    at = np.minimum(steps.searchsorted(own.steps), len(steps) - 1)
    most = np.stack([own.steps, own.evaluations, cost[2, at]], axis=1)
    return np.minimum.accumulate(losses, axis=1), cost, np.minimum(cost[:, -1], most)


def _lost(own: pd.DataFrame) -> Way:
    """What is known without a run's files: its lowest losses, so that the targets of the others stay what they are."""
    return own.best.to_numpy(float)[:, None], np.full((len(COSTS), 1), np.nan), np.full((len(own), len(COSTS)), np.nan)


def recorded(trace: pd.DataFrame, own: pd.DataFrame) -> tuple[Int[np.ndarray, " s"], Float[np.ndarray, "n s"]]:
    """The steps of a run's trace, and the loss of each of its searches there; NaN where none was recorded."""
    steps, at = np.unique(trace.step, return_inverse=True)
    starts = pd.Index(own.start.unique()).union(trace.start.unique())
    of, which = (starts.get_indexer(t.start) + len(starts) * t.instance.to_numpy() for t in (trace, own))
    losses = np.full((len(own) + 1, len(steps)), np.nan)  # the last row takes what is of none of them
    losses[pd.Index(which).get_indexer(of), at] = trace.loss
    return steps, losses[:-1]


def targets(searches: pd.DataFrame, found: Paths, scope: str) -> Float[np.ndarray, "n f"]:
    """The target losses of each search's instance, common to all that `SAME[scope]` says."""
    lowest = np.array([p[-1] for p in found.lowest])
    kind = searches.start.str.partition(":")[0]
    of = searches.assign(low=lowest, at_random=searches.first_loss.where(kind == "random")).groupby(SAME[scope])
    low, high = of.low.transform("min"), of.at_random.transform("median").fillna(of.first_loss.transform("median"))
    return low.to_numpy()[:, None] + np.outer((high - low).to_numpy(), FRACTIONS)


def hits(found: Paths, goals: Float[np.ndarray, "n f"]) -> Hits:
    """The first recorded step at which the lowest loss so far is at or below each target, and what it cost."""
    at = np.full((len(COSTS), *goals.shape), np.inf)
    for i, (lowest, cost, spent) in enumerate(zip(found.lowest, found.costs, found.spent, strict=True)):
        first = (~(lowest[:, None] <= goals[i])).sum(axis=0)  # recorded steps before it
        reached = first < len(lowest)
        at[:, i, reached] = np.minimum(cost[:, first[reached]], spent[:, None])
    return Hits(dict(zip(COSTS, at, strict=True)), dict(zip(COSTS, found.spent.T, strict=True)))


def to_targets(own: pd.DataFrame, found: Hits) -> Iterator[dict]:
    """Of the searches in `own`: steps, evaluations and seconds to each target, their aRT, and the ECDF over targets.

    Each of those whose cost is known; where it is not, a search is no censored one.
    """
    of = {cost: cast(pd.DataFrame, own[~np.isnan(found.spent[cost][own.index])]) for cost in COSTS}
    for cost, known in of.items():
        for start, these in by_start(known):
            spent, instances = found.spent[cost][these.index], these.instance.to_numpy()
            for i, fraction in enumerate(FRACTIONS):
                at, where = found.at[cost][these.index, i], {"start": start, "target": fraction}
                yield {"measure": cost, **where} | order_statistics(at, instances)
                yield {"measure": f"aRT:{cost}", **where} | running_time(at, spent, instances)
    if len(known := of["evaluations"]):
        yield from ecdf(found.at["evaluations"][known.index], known.instance.to_numpy())


def running_time(at: np.ndarray, spent: np.ndarray, instances: np.ndarray) -> dict[str, int | float]:
    """aRT: infinite where no search reached the target."""
    reached = np.isfinite(at)
    found = quotient(np.where(reached, at, spent), reached.astype(float), instances)
    return {"n": len(at), "censored": int((~reached).sum())} | found


def ecdf(at: Float[np.ndarray, "n f"], instances: np.ndarray) -> Iterator[dict]:
    """Share of (search, target) that is reached within so many evaluations; the last is the share reached at all."""
    finite = at[np.isfinite(at)]
    if not len(finite):
        within = np.ones(1)
    else:
        within = np.unique(np.ceil(np.geomspace(max(finite.min(), 1), max(finite.max(), 1), 40)))
    for x in within:
        found = share((at <= x).mean(axis=1), instances)
        yield {"measure": "ecdf", "within": x, "n": at.size, "censored": int((at > x).sum())} | found
