"""The way down: the loss of searches over their steps, as further measures of a comparison."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import binom

from lso_bench.analysis.bootstrap import LEVELS
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.convergence import recorded
from lso_bench.analysis.table import GROUP_KEYS, Files, by_start, table
from lso_bench.record import Record
from lso_bench.spec import Spec

POINTS = 60  # of a curve, at most


@dataclass(frozen=True)
class LossCurves:
    """Of a run's n searches the last loss until each recorded step; infinite before the first that is known."""

    rows: Int[np.ndarray, " n"]  # where they stand among all
    steps: Int[np.ndarray, " s"]
    losses: Float[np.ndarray, "n s"]


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
        head = {k: own[k].iloc[0] for k in (*GROUP_KEYS, *by)}
        who = own.loc[:, ["key", "start", "instance"]].reset_index(drop=True)
        every = (_way(records[str(key)].spec, same, files) for key, same in who.groupby("key", sort=False))
        ways = [way for way in every if way]
        most = int(max((way.steps[-1] for way in ways), default=0))
        if most < 1:
            continue  # one evaluation is no curve
        steps = np.unique(np.geomspace(1, most, POINTS).round().astype(int))
        losses = _losses(ways, steps, len(who))
        for start, these in by_start(who):
            at = pd.DataFrame(losses[these.index]).groupby(these.instance.to_numpy()).median().dropna()
            if at.empty:
                continue
            middle, low, high = medians(at.to_numpy())
            for i, step in enumerate(steps):
                values = {"n": len(at), "estimate": middle[i], "low": low[i], "high": high[i]}
                yield head | {"measure": "curve", "start": start, "within": float(step)} | values


def _losses(ways: Sequence[LossCurves], steps: Int[np.ndarray, " s"], n: int) -> Float[np.ndarray, "n s"]:
    """Of each of n searches at each of these steps; NaN where the way is lost."""
    found = np.full((n, len(steps)), np.nan)
    for way in ways:
        found[way.rows] = way.losses[:, np.maximum(way.steps.searchsorted(steps, side="right") - 1, 0)]
    return found


def _way(spec: Spec, own: pd.DataFrame, files: Callable[[Spec], Files]) -> LossCurves | None:
    """Of all searches of a run; None: its trace is lost."""
    trace = files(spec).trace(spec)
    if trace is None:
        return None
    steps, losses = recorded(trace, own)
    last = np.maximum.accumulate(np.where(np.isnan(losses), 0, np.arange(len(steps))), axis=1)
    losses = np.take_along_axis(losses, last, axis=1)
    return LossCurves(own.index.to_numpy(), steps, np.where(np.isnan(losses), np.inf, losses))


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
