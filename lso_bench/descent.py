"""The way down: the loss of searches over their steps, as further measures of a comparison."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import binom

from lso_bench.bootstrap import LEVELS
from lso_bench.compare import Comparison
from lso_bench.record import Record
from lso_bench.searches import GROUP, Files, by_start, table
from lso_bench.spec import Spec

POINTS = 60  # of a curve, at most


def with_curves(found: Comparison, records: Iterable[Record], files: Callable[[Spec], Files]) -> Comparison:
    """`found`, with measures `curve`: the median loss within so many steps, its 95 % interval and n, of the targets.

    Each target counts once, with the median of its searches. A search that has ended keeps its last loss; one without
    a finite loss is the worst. Only these figures read every trace, so a comparison has them where it is drawn.
    """
    usable = {r.spec.key: r for r in records if r.members}
    searches = table([*usable.values()], found.by)
    rows = [] if searches.empty else [*_rows(searches, usable, files, found.by)]
    if not rows:
        return found
    return replace(found, measures=pd.concat([found.measures, pd.DataFrame(rows, columns=found.measures.columns)]))


def _rows(
    searches: pd.DataFrame, records: dict[str, Record], files: Callable[[Spec], Files], by: Sequence[str]
) -> Iterator[dict]:
    for _, own in searches.groupby("line", sort=False):
        head = {k: own[k].iloc[0] for k in (*GROUP, *by)}
        ways = {str(k): _way(records[str(k)].spec, files) for k in own.key.unique()}
        most = int(max(w.index[-1] for w in ways.values()))
        if most < 1:
            continue  # one evaluation is no curve
        steps = np.unique(np.geomspace(1, most, POINTS).round().astype(int))
        losses = _losses(own, ways, steps)
        for start, these in by_start(own):
            at = pd.DataFrame(losses[own.index.get_indexer(these.index)]).groupby(these.instance.to_numpy()).median()
            middle, low, high = medians(at.to_numpy())
            for i, step in enumerate(steps):
                values = {"n": len(at), "estimate": middle[i], "low": low[i], "high": high[i]}
                yield head | {"measure": "curve", "start": start, "within": float(step)} | values


def _way(spec: Spec, files: Callable[[Spec], Files]) -> pd.DataFrame:
    """A run's loss, a row a recorded step, a column a start and instance."""
    trace = files(spec).trace(spec).pivot(index="step", columns=["start", "instance"], values="loss")
    return trace.ffill().fillna(np.inf)


def _losses(own: pd.DataFrame, ways: dict[str, pd.DataFrame], steps: Int[np.ndarray, " s"]) -> Float[np.ndarray, "n s"]:
    """Of each search at each of these steps, in the order of `own`."""
    found = np.empty((len(own), len(steps)))
    for key, same in own.groupby("key", sort=False):
        way = ways[str(key)]
        at = np.maximum(np.asarray(way.index).searchsorted(steps, side="right") - 1, 0)
        there = way[[*zip(same.start, same.instance, strict=True)]].to_numpy()
        found[own.index.get_indexer(cast(pd.Index, same.index))] = there[at].T
    return found


def medians(values: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "3 s"]:
    """Median and its interval, by order statistics: exact for n independent values of any distribution; NaN where n is
    too small for one. Source: David & Nagaraja 2003, "Order Statistics", section 7.1.
    """
    ordered = np.sort(values, axis=0)
    rank = int(binom.ppf(LEVELS[0], len(values), 0.5))  # values below the interval's lower end
    none = np.full(values.shape[1], np.nan)
    low, high = (ordered[rank - 1], ordered[-rank]) if rank > 0 else (none, none)
    with np.errstate(invalid="ignore"):
        return np.stack([np.median(values, axis=0), low, high])
