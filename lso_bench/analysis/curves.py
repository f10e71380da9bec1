"""Curves: the lowest loss of searches within a number of evaluations, as further measures of a comparison."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float

from lso_bench.analysis.bootstrap import LEVELS
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.convergence import COSTS, LossHistories, loss_histories
from lso_bench.analysis.table import Files, by_start, shared
from lso_bench.record import Record
from lso_bench.spec import Spec

EVALUATIONS = COSTS.index("evaluations")
POINTS = 60  # points of a curve, at most


def with_curves(comparison: Comparison, records: Iterable[Record], files: Callable[[Spec], Files]) -> Comparison:
    """Return `comparison` with measures `curve`: the lowest loss within a number of evaluations of a problem.

    The estimate is the median over instances, each with the median of its searches, and has a 95 % interval. A search
    that has ended keeps its lowest loss. These measures read every trace, so only comparisons that are drawn have them.
    """
    searches = comparison.searches
    if searches.empty:
        return comparison
    histories = comparison.histories or loss_histories(searches, [r for r in records if r.members], files)
    rows = [*_rows(searches, histories, comparison.by)]
    if not rows:
        return comparison
    curves = pd.DataFrame(rows, columns=comparison.measures.columns)
    return replace(comparison, measures=pd.concat([comparison.measures, curves]))


def _rows(searches: pd.DataFrame, histories: LossHistories, by: Sequence[str]) -> Iterator[dict]:
    for _, group in searches.groupby("group_id", sort=False):
        head = shared(group, by)
        for start, selected in by_start(group):
            places = [i for i in selected.index if np.isfinite(histories.costs[i][EVALUATIONS]).all()]
            last = max((float(histories.costs[i][EVALUATIONS, -1]) for i in places), default=0.0)
            if last < 2:
                continue  # one evaluation is no curve
            grid = np.unique(np.geomspace(1, last, POINTS).round())
            losses = np.stack([_at(histories.costs[i][EVALUATIONS], histories.lowest[i], grid) for i in places])
            blocks = selected.block.loc[places].to_numpy()
            median, low, high = medians(pd.DataFrame(losses).groupby(blocks).median().to_numpy())
            for i, within in enumerate(grid):
                if np.isfinite(median[i]):
                    values = {"n": len(np.unique(blocks)), "estimate": median[i], "low": low[i], "high": high[i]}
                    yield head | {"measure": "curve", "start": start, "within": within} | values


def _at(
    costs: Float[np.ndarray, " s"], lowest: Float[np.ndarray, " s"], grid: Float[np.ndarray, " g"]
) -> Float[np.ndarray, " g"]:
    """Return the lowest loss within each cost; infinite before the first."""
    index = costs.searchsorted(grid, side="right") - 1
    return np.where(index >= 0, lowest[np.maximum(index, 0)], np.inf)


def medians(values: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "3 s"]:
    """Compute the median of each column and its interval by order statistics; NaN where n is too small.

    The interval is exact for n independent values of any distribution. Source: David & Nagaraja 2003, "Order
    Statistics", section 7.1.
    """
    ordered = np.sort(values, axis=0)
    rank = int(scipy.stats.binom.ppf(LEVELS[0], len(values), 0.5))  # values below the interval's lower end
    none = np.full(values.shape[1], np.nan)
    low, high = (ordered[rank - 1], ordered[-rank]) if rank > 0 else (none, none)
    with np.errstate(invalid="ignore"):
        return np.stack([np.median(values, axis=0), low, high])
