"""Models, and searchers, compared on the same instances, starts and seeds.

Models are compared where task, searcher and limits are the same, searchers where model and limits are. A block is an
instance: of its searches from one kind of start the median, over those seeds that all contestants ran. Over several
tasks a block is a task, of its instances the median. A search that diverged, or a run that failed, is infinitely bad;
it is counted, never left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis import rank_tests
from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.table import GROUP_KEYS, by_start, group, is_random, thresholds
from lso_bench.record import Record

COMPARED = ("model", "searcher")
MATCHED_ON = ["train", "instance", "code", "search"]
TASK = ["task", "decoding"]  # what may differ between the blocks of a comparison over tasks


@dataclass(frozen=True)
class Blocks:
    """What k contestants reached on n instances, or in n tasks."""

    names: list[str]
    values: np.ndarray  # (n, k); lower is better; over tasks each row on a scale of its own
    lost: np.ndarray  # (k,): searches without a finite value

    def order(self) -> list[int]:
        """Contestants, the best mean rank first."""
        return [int(i) for i in np.argsort(rank_tests.mean_ranks(self.values), kind="stable")]


def rows(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str] = ()) -> Iterator[dict]:
    """Measures "model rank:loss", "searcher wins:iterations" and so on.

    Of each contestant: `rank`, the mean rank, with Friedman's p. Of each pair, in the row of the one with the higher
    mean rank, `against` the other: `difference` (median of own - other; p: Wilcoxon's, by Holm over all pairs of this
    comparison), `wins` (share of blocks in which it is better), `effect` (rank-biserial), `nemenyi` (difference of
    the mean ranks; p).
    """
    everything = pd.concat([searches, *_failed(searches, failed, by)], ignore_index=True)
    for factor, where, own in _contexts(everything, by):
        for outcome, limit, column in _outcomes(own, factor):
            if (found := blocks(own, factor, column)) is not None:
                yield from (where | {"threshold": limit} | row for row in _measures(found, factor, outcome))


def across_tasks(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str] = ()) -> Iterator[dict]:
    """The same measures with tasks for blocks, of those that two or more tasks share; `task` names them.

    Tasks have scales of their own, so that there are ranks, wins and Nemenyi's test only: no difference, no effect.
    """
    everything = pd.concat([searches, *_failed(searches, failed, by)], ignore_index=True)
    for factor, where, own in _contexts(everything, by, but=TASK):
        for outcome, limit, column in _outcomes(own, factor):
            found = blocks(own, factor, column, TASK)
            if found is not None and len(found.values) > 1:
                head = where | {"task": f"{len(found.values)} tasks", "threshold": limit}
                yield from (head | row for row in _measures(found, factor, outcome, scaled=False))


def _contexts(
    searches: pd.DataFrame, by: Sequence[str], but: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """What may be compared: the factor, all that must be the same, and the searches from one kind of start."""
    for factor in COMPARED:
        same = [c for c in (*GROUP_KEYS, *by) if c not in (factor, *but)]
        for key, own in searches.groupby(same, sort=False, dropna=False):
            for start, these in by_start(own):
                yield factor, dict(zip(same, cast(tuple, key), strict=True)) | {"start": start}, these


def blocks(own: pd.DataFrame, factor: str, column: str, over: Sequence[str] = ()) -> Blocks | None:
    """Of instances, or of what `over` names; None where no two have a search of the same instance, start and seeds."""
    cells = own.pivot_table(
        index=[*over, *MATCHED_ON], columns=factor, values=column, aggfunc="median", sort=False
    ).dropna()
    if cells.shape[1] < 2 or cells.empty:
        return None
    each = cells.groupby([*over, "instance"]).median()
    values = _rounded(each.groupby([*over]).median() if over else each)
    return Blocks([str(c) for c in cells], values, np.isinf(cells).sum(axis=0).to_numpy())


def _rounded(values: pd.DataFrame) -> np.ndarray:
    """To 6 digits: losses are sums in float32, and what they differ in beyond is a tie."""
    return np.array([float(f"{x:.6g}") for x in values.to_numpy(float).flat]).reshape(values.shape)


def _outcomes(own: pd.DataFrame, factor: str) -> Iterator[tuple[str, float | None, str]]:
    """Name, threshold and column: the final loss, and the steps to the smallest threshold that all were asked for."""
    yield "loss", None, "loss"
    for t in reversed(thresholds(own)):
        asked = own[f"met {t:g}"].notna().groupby(own[factor]).any()
        if bool(asked.all()):
            yield "iterations", t, f"met {t:g}"
            return


def _measures(found: Blocks, factor: str, outcome: str, scaled: bool = True) -> Iterator[dict]:
    """`scaled`: whether values of two blocks are on one scale."""
    n, k = found.values.shape
    mean, p = rank_tests.mean_ranks(found.values), rank_tests.friedman(found.values)
    for i in found.order():
        of_one = {"n": n, "censored": int(found.lost[i]), "estimate": float(mean[i]), "p": p}
        yield {factor: found.names[i], "measure": f"{factor} rank:{outcome}"} | of_one
    pairs = [(worse, better) for better, worse in combinations(found.order(), 2)]
    adjusted = rank_tests.holm(np.array([rank_tests.signed_rank(*found.values[:, [*pair]].T) for pair in pairs]))
    for (i, j), holm in zip(pairs, adjusted, strict=True):
        head = {factor: found.names[i], "against": found.names[j], "n": n, "censored": int(found.lost[i])}
        by_ranks = {"estimate": float(mean[i] - mean[j]), "p": rank_tests.nemenyi(mean[i] - mean[j], k, n)}
        pair = _pair(found.values[:, i], found.values[:, j], holm)
        said = pair if scaled else {"wins": pair["wins"]}
        for name, values in (said | {"nemenyi": by_ranks}).items():
            yield head | {"measure": f"{factor} {name}:{outcome}"} | values


def _pair(a: np.ndarray, b: np.ndarray, p: float) -> dict[str, dict[str, int | float]]:
    with np.errstate(invalid="ignore"):
        apart = np.where(a == b, 0.0, a - b)  # both infinite: the same
    each = np.arange(len(a))
    return {
        "difference": order_statistics(apart, each) | {"p": float(p)},
        "wins": proportion_interval(rank_tests.wins(a, b), each),
        "effect": {"estimate": rank_tests.rank_biserial(a, b)},
    }


def _failed(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str]) -> Iterator[pd.DataFrame]:
    """A row for each search of a run that failed as a whole, on the instances and devices of the others of its task."""
    for record in failed:
        of, spec = group(record, by), record.spec
        others = searches[searches.task == of["task"]]
        seeds = {"train": spec.model.seed, "weights": spec.checkpoint, "init": spec.seeds.init}
        lost: dict[str, Any] = {f"met {t:g}": np.inf for t in spec.thresholds} | {"loss": np.inf}
        for start in spec.starts:
            code = f"{start} {spec.seeds.init}" if is_random(start) else start
            where = others.loc[others.start == start, ["instance", "device"]].drop_duplicates()
            same = {k: np.nan if v is None else v for k, v in of.items() if k != "device"}
            if len(where):
                yield where.assign(**same, **seeds, search=spec.seeds.search, start=start, code=code, **lost)
