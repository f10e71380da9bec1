"""Paired comparison of models, and of searchers, on the same instances, starts and seeds.

Models are compared where task, searcher and limits are equal; searchers where model and limits are. A block is an
instance: the median of its searches from one kind of start, over the seeds that all contestants ran. Where all share
too few, it is the largest set of them that does (`overlap`). Where a task has a single instance, a block is a random
start. Across tasks a block is a task: the median of its blocks.

How much depends on the start is compared by the gap between the final losses of two starts of an instance: the median
of its pairs of one kind. A search that diverged, or a run that failed, is infinitely bad; it counts and is never left
out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis import rank_tests
from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.intervals import proportion_interval
from lso_bench.analysis.overlap import complete_cells
from lso_bench.analysis.start_sensitivity import final_gap, pairs
from lso_bench.analysis.table import GROUP_KEYS, SHARE, by_start, group, is_random, thresholds, with_blocks
from lso_bench.record import Record

COMPARED = ("model", "searcher")
WITHIN = {"model": "with", "searcher": "in"}  # preposition before what a comparison is made in
MISSED = "missed"  # column: share of free-running samples that are not nearest to their target
MATCHED_ON = ["train", "instance", "block", "start_id", "search"]
STEPS = ("iterations", "speed")  # outcomes that are infinite also of a search that met no threshold
TASK_COLUMNS = ["task", "decoding"]  # columns that may differ between the blocks of a comparison across tasks


@dataclass(frozen=True)
class Blocks:
    """Values of k contestants on n blocks (instances or tasks)."""

    names: list[str]
    values: np.ndarray  # (n, k); lower is better; across tasks each row has a scale of its own
    lost: np.ndarray  # (k,): searches without a finite value

    def order(self) -> list[int]:
        """Return the contestants, the best mean rank first."""
        return [int(i) for i in np.argsort(rank_tests.mean_ranks(self.values), kind="stable")]


def rows(
    searches: pd.DataFrame,
    failed: Sequence[Record],
    by: Sequence[str] = (),
    at_thresholds: Mapping[float, np.ndarray] | None = None,
) -> Iterator[dict]:
    """Yield the measures "model rank:loss", "searcher wins:iterations" and so on.

    Each contestant has `rank`: its mean rank, with Friedman's p. Each pair has measures in the row of the contestant
    with the higher (worse) mean rank, with `against` naming the better one:

    - `difference`: median of worse less better, with Wilcoxon's p, corrected by Holm over all pairs of this comparison.
    - `wins`: fraction of blocks in which the worse one has the lower value; ties count half.
    - `effect`: rank-biserial correlation.
    - `nemenyi`: difference of the mean ranks, with Nemenyi's p.

    Args:
        at_thresholds: loss of each search when it met a threshold, for the gaps there ("gap 0.01").
    """
    every_search = all_searches(searches, failed, by)
    for factor, labels, compared in contexts(every_search, by):
        for outcome, limit, column in _outcomes(compared, factor):
            if (comparison := blocks(compared, factor, column)) is not None:
                yield from (labels | {"threshold": limit} | row for row in _measures(comparison, factor, outcome))
    missing = np.full(len(every_search) - len(searches), np.nan)  # of failed runs, which met nothing
    losses = {f"gap {t:g}": np.append(x, missing) for t, x in (at_thresholds or {}).items()}
    losses["gap"] = every_search.loss.to_numpy(float)
    for labels, factor, outcome, comparison in _gap_rows(every_search, losses, by):
        yield from (labels | row for row in _measures(comparison, factor, outcome))


def across_tasks(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str] = ()) -> Iterator[dict]:
    """Yield the same measures with tasks as blocks, for contestants that share at least two tasks.

    `task` holds their number. Tasks differ in scale, so there are only ranks, wins and Nemenyi's test.
    """
    if searches.task.nunique() < 2:
        return
    every_search = all_searches(searches, failed, by)
    for factor, labels, compared in contexts(every_search, by, except_keys=TASK_COLUMNS):
        for outcome, limit, column in _outcomes(compared, factor):
            comparison = blocks(compared, factor, column, TASK_COLUMNS)
            if comparison is not None and len(comparison.values) > 1:
                head = labels | {"task": f"{len(comparison.values)} tasks", "threshold": limit}
                yield from (head | row for row in _measures(comparison, factor, outcome, scaled=False))
    losses = {"gap": every_search.loss.to_numpy(float)}
    for labels, factor, outcome, comparison in _gap_rows(every_search, losses, by, TASK_COLUMNS):
        head = labels | {"task": f"{len(comparison.values)} tasks"}
        yield from (head | row for row in _measures(comparison, factor, outcome, scaled=False))


def all_searches(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str]) -> pd.DataFrame:
    """Return the searches with blocks, those of failed runs last, and the share of samples that missed their target."""
    rows = with_blocks(pd.concat([searches, *_failed(searches, failed, by)], ignore_index=True))
    if SHARE not in rows:
        return rows
    return rows.assign(**{MISSED: (1 - rows[SHARE]).where(np.isfinite(rows.loss), np.inf)})


def contexts(
    searches: pd.DataFrame, by: Sequence[str], except_keys: Sequence[str] = ()
) -> Iterator[tuple[str, dict[str, Any], pd.DataFrame]]:
    """Yield each comparison: the factor, all that must be equal, and the searches from one kind of start."""
    for factor in COMPARED:
        shared = [c for c in (*GROUP_KEYS, *by) if c not in (factor, *except_keys)]
        for key, matching in searches.groupby(shared, sort=False, dropna=False):
            if len(matching[factor].unique()) < 2:
                continue  # a single contestant
            for start, from_start in by_start(matching):
                yield factor, dict(zip(shared, cast(tuple, key), strict=True)) | {"start": start}, from_start


def _gap_rows(
    searches: pd.DataFrame, losses: Mapping[str, np.ndarray], by: Sequence[str], except_keys: Sequence[str] = ()
) -> Iterator[tuple[dict[str, Any], str, str, Blocks]]:
    """Yield labels, factor, outcome and blocks of each comparison of gaps, by kind of pair of starts.

    Blocks are instances, or tasks if `except_keys` are TASK_COLUMNS. A pair with a lost search is infinitely bad.

    Args:
        losses: loss of each search, by outcome; NaN where it did not meet the outcome's threshold.
    """
    keys = [*GROUP_KEYS, *by]
    paired = _pairs(searches, keys)
    gaps = {outcome: final_gap(x[paired.a], x[paired.b]) for outcome, x in losses.items()}
    for factor in COMPARED:
        shared = [*(k for k in keys if k not in (factor, *except_keys)), "kind"]
        for key, matching in paired.groupby(shared, sort=False, dropna=False):
            if len({*matching[factor]}) < 2:
                continue
            *labels, kind = cast(tuple, key)
            head = dict(zip(shared, labels, strict=False)) | {"start": str(kind)}
            places = [matching[c] for c in (*except_keys, "instance", factor)]
            for outcome, gap in gaps.items():
                cells = pd.Series(gap[matching.index], matching.index).groupby(places).median().unstack()
                cells = cells.dropna(axis=1, how="all")  # a contestant that met no threshold stays out
                cells = _complete(cells, "instance", except_keys) if outcome == "gap" else cells.dropna()
                values = cells.groupby([*except_keys]).median() if except_keys and len(cells) else cells
                if values.shape[1] > 1 and len(values) > bool(except_keys):
                    lost = np.isinf(cells).sum(axis=0).to_numpy()
                    yield head, factor, outcome, Blocks([str(c) for c in cells], _rounded(values), lost)


def _pairs(searches: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the pairs of starts of all groups; `a` and `b` are rows of `searches`, from 0."""
    tables = []
    numbers = searches.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    for number in range(numbers.max(initial=-1) + 1):
        places = np.flatnonzero(numbers == number)
        table = pairs(searches.iloc[places])
        tables.append(table[["kind", "instance"]].assign(a=places[table.a], b=places[table.b]))
    rows = pd.concat(tables, ignore_index=True)
    return pd.concat([rows, searches[keys].take(rows.a).reset_index(drop=True)], axis=1)


def blocks(searches: pd.DataFrame, factor: str, column: str, over: Sequence[str] = ()) -> Blocks | None:
    """Return the blocks of a comparison; None if no two contestants share an instance, start and seeds.

    Blocks are those of `lso_bench.analysis.table.with_blocks`, or the values of the columns `over`.
    """
    cells = searches.pivot_table(
        index=[*over, *MATCHED_ON], columns=factor, values=column, aggfunc="median", sort=False
    )
    cells = _complete(cells, "block", over)
    if cells.shape[1] < 2 or cells.empty:
        return None
    block_medians = cells.groupby([*over, "block"]).median()
    values = _rounded(block_medians.groupby([*over]).median() if over else block_medians)
    return Blocks([str(c) for c in cells], values, np.isinf(cells).sum(axis=0).to_numpy())


def _complete(cells: pd.DataFrame, block: str, over: Sequence[str]) -> pd.DataFrame:
    """Return the complete rows of contestants that share enough blocks: values of `block`, or of the levels `over`."""
    numbers = cells.groupby([*over] or [block], sort=False).ngroup().to_numpy(int)
    if over:
        return complete_cells(cells, numbers, rank_tests.CONTESTANTS, needed=lambda k: rank_tests.BLOCKS)
    return complete_cells(cells, numbers)


def _rounded(values: pd.DataFrame) -> np.ndarray:
    """Round to 6 significant digits: losses are sums in float32, and smaller differences are ties."""
    return np.array([float(f"{x:.6g}") for x in values.to_numpy(float).flat]).reshape(values.shape)


def _outcomes(searches: pd.DataFrame, factor: str) -> Iterator[tuple[str, float | None, str]]:
    """Yield name, threshold and column: the final loss, and steps to the smallest threshold that all requested.

    Under a teacher follows the share of free-running samples that missed their target. As `speed` follow the steps to
    the smallest threshold that at least half of all searches met.
    """
    yield "loss", None, "loss"
    if MISSED in searches and _have_shares(searches, factor):
        yield MISSED, None, MISSED
    steps = {t: searches[f"met {t:g}"] for t in reversed(thresholds(searches))}
    requested = [t for t, s in steps.items() if bool(s.notna().groupby(searches[factor]).any().all())]
    reached = [t for t in requested if np.isfinite(steps[t]).mean() >= 0.5]
    for name, limits in (("iterations", requested), ("speed", reached)):
        if limits:
            yield name, limits[0], f"met {limits[0]:g}"


def _have_shares(searches: pd.DataFrame, factor: str) -> bool:
    """Return whether each contestant recorded shares of retrieved targets, but for those that lost every search."""
    recorded, kept = searches[SHARE].notna(), np.isfinite(searches.loss)
    by_contestant = pd.DataFrame({"recorded": recorded, "kept": kept}).groupby(searches[factor]).any()
    is_teacher = bool((searches.decoding == "teacher").all())  # a task may report the name under another decoding
    return is_teacher and bool(recorded.any()) and bool((by_contestant.recorded | ~by_contestant.kept).all())


def _measures(comparison: Blocks, factor: str, outcome: str, scaled: bool = True) -> Iterator[dict]:
    """Yield the measures of a comparison; `scaled` if values of different blocks share a scale.

    Contestants that lost every search have none: nothing tells them apart.
    """
    if outcome not in STEPS and np.isinf(comparison.values).all():
        return
    n, k = comparison.values.shape
    mean, p = rank_tests.mean_ranks(comparison.values), rank_tests.friedman(comparison.values)
    for i in comparison.order():
        statistics = {"n": n, "censored": int(comparison.lost[i]), "estimate": float(mean[i]), "p": p}
        yield {factor: comparison.names[i], "measure": f"{factor} rank:{outcome}"} | statistics
    pairs = [(worse, better) for better, worse in combinations(comparison.order(), 2)]
    adjusted = rank_tests.holm(np.array([rank_tests.wilcoxon(*comparison.values[:, [*pair]].T) for pair in pairs]))
    for (i, j), holm in zip(pairs, adjusted, strict=True):
        head = {
            factor: comparison.names[i],
            "against": comparison.names[j],
            "n": n,
            "censored": int(comparison.lost[i]),
        }
        rank_difference = {"estimate": float(mean[i] - mean[j]), "p": rank_tests.nemenyi(mean[i] - mean[j], k, n)}
        pair = _pair(comparison.values[:, i], comparison.values[:, j], holm)
        measures = pair if scaled else {"wins": pair["wins"]}
        for name, values in (measures | {"nemenyi": rank_difference}).items():
            yield head | {"measure": f"{factor} {name}:{outcome}"} | values


def _pair(a: np.ndarray, b: np.ndarray, p: float) -> dict[str, dict[str, int | float]]:
    with np.errstate(invalid="ignore"):
        differences = np.where(a == b, 0.0, a - b)  # two infinite values are equal
    block_index = np.arange(len(a))
    return {
        "difference": order_statistics(differences, block_index) | {"p": float(p)},
        "wins": proportion_interval(rank_tests.wins(a, b), block_index),
        "effect": {"estimate": rank_tests.rank_biserial(a, b)},
    }


def _failed(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Yield a row for each search of a failed run, on the instances and devices of other runs of its task."""
    for record in failed:
        keys, spec = group(record, by), record.spec
        task_searches = searches[searches.task == keys["task"]]
        seeds = {"train": spec.model.seed, "weights": spec.checkpoint, "init": spec.seeds.init}
        lost: dict[str, Any] = {f"met {t:g}": np.inf for t in spec.thresholds} | {"loss": np.inf}
        for start in spec.starts:
            start_id = f"{start} {spec.seeds.init}" if is_random(start) else start
            instances = task_searches.loc[task_searches.start == start, ["instance", "device"]].drop_duplicates()
            shared = {k: np.nan if v is None else v for k, v in keys.items() if k != "device"}
            if len(instances):
                yield instances.assign(
                    **shared, **seeds, search=spec.seeds.search, start=start, start_id=start_id, **lost
                )
