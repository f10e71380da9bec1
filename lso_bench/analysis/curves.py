"""Loss curves: the loss of searches over their steps, as further measures of a comparison."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import binom

from lso_bench.analysis.bootstrap import LEVELS
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.convergence import COSTS, loss_histories, recorded
from lso_bench.analysis.table import GROUP_KEYS, Files, by_start, table
from lso_bench.record import Record
from lso_bench.spec import Spec

EVALUATIONS = COSTS.index("evaluations")
POINTS = 60  # points of a curve, at most


@dataclass(frozen=True)
class LossCurves:
    """Last loss of a run's n searches at each recorded step; infinite before the first known loss."""

    rows: Int[np.ndarray, " n"]  # rows of these searches in the table of all
    steps: Int[np.ndarray, " s"]
    losses: Float[np.ndarray, "n s"]


def with_curves(comparison: Comparison, records: Iterable[Record], files: Callable[[Spec], Files]) -> Comparison:
    """Return `comparison` with measures `curve`: the median loss within a number of steps, its 95 % interval and n.

    Each instance counts once, with the median of its searches. A search that has ended keeps its last loss. A search
    without a finite loss is the worst. These measures read every trace, so only comparisons that are drawn have them.
    """
    usable = {r.spec.key: r for r in records if r.members}
    searches = table([*usable.values()], comparison.by)
    rows = [] if searches.empty else [*_rows(searches, usable, files, comparison.by)]
    if not rows:
        return comparison
    return replace(
        comparison, measures=pd.concat([comparison.measures, pd.DataFrame(rows, columns=comparison.measures.columns)])
    )


def _rows(
    searches: pd.DataFrame, records: dict[str, Record], files: Callable[[Spec], Files], by: Sequence[str]
) -> Iterator[dict]:
    for _, group in searches.groupby("group_id", sort=False):
        head = {k: group[k].iloc[0] for k in (*GROUP_KEYS, *by)}
        members = group.loc[:, ["key", "start", "instance"]].reset_index(drop=True)
        all_curves = (
            _loss_curves(records[str(key)].spec, run_members, files)
            for key, run_members in members.groupby("key", sort=False)
        )
        curves = [curve for curve in all_curves if curve]
        last_step = int(max((curve.steps[-1] for curve in curves), default=0))
        if last_step < 1:
            continue  # one evaluation is no curve
        steps = np.unique(np.geomspace(1, last_step, POINTS).round().astype(int))
        losses = _losses(curves, steps, len(members))
        for start, selected in by_start(members):
            by_instance = pd.DataFrame(losses[selected.index]).groupby(selected.instance.to_numpy()).median().dropna()
            if by_instance.empty:
                continue
            median, low, high = medians(by_instance.to_numpy())
            for i, step in enumerate(steps):
                values = {"n": len(by_instance), "estimate": median[i], "low": low[i], "high": high[i]}
                yield head | {"measure": "curve", "start": start, "within": float(step)} | values


def _losses(curves: Sequence[LossCurves], steps: Int[np.ndarray, " s"], n: int) -> Float[np.ndarray, "n s"]:
    """Return the loss of each of n searches at the given steps; NaN where the trace is lost."""
    losses = np.full((n, len(steps)), np.nan)
    for curve in curves:
        losses[curve.rows] = curve.losses[:, np.maximum(curve.steps.searchsorted(steps, side="right") - 1, 0)]
    return losses


def _loss_curves(spec: Spec, run_searches: pd.DataFrame, files: Callable[[Spec], Files]) -> LossCurves | None:
    """Read the loss curves of all searches of a run; None if its trace is lost."""
    trace = files(spec).trace(spec)
    if trace is None:
        return None
    steps, losses = recorded(trace, run_searches)
    last_known = np.maximum.accumulate(np.where(np.isnan(losses), 0, np.arange(len(steps))), axis=1)
    losses = np.take_along_axis(losses, last_known, axis=1)
    return LossCurves(run_searches.index.to_numpy(), steps, np.where(np.isnan(losses), np.inf, losses))


def medians(values: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "3 s"]:
    """Compute the median of each column and its interval by order statistics; NaN where n is too small.

    The interval is exact for n independent values of any distribution. Source: David & Nagaraja 2003, "Order
    Statistics", section 7.1.
    """
    ordered = np.sort(values, axis=0)
    rank = int(binom.ppf(LEVELS[0], len(values), 0.5))  # values below the interval's lower end
    none = np.full(values.shape[1], np.nan)
    low, high = (ordered[rank - 1], ordered[-rank]) if rank > 0 else (none, none)
    with np.errstate(invalid="ignore"):
        return np.stack([np.median(values, axis=0), low, high])


def best_so_far(records: Iterable[Record], files: Callable[[Spec], Files], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return the lowest loss within a number of evaluations: its median over instances, with a 95 % interval.

    A row is a point of a curve: GROUP_KEYS, `start`, `within` (evaluations), `n`, `estimate`, `low`, `high`. A search
    that has ended keeps its lowest loss.
    """
    usable = [r for r in records if r.members]
    searches = table(usable, by)
    rows = [] if searches.empty else [*_best_rows(searches, usable, files, by)]
    columns = [*GROUP_KEYS, *by, "start", "within", "n", "estimate", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _best_rows(
    searches: pd.DataFrame, records: Sequence[Record], files: Callable[[Spec], Files], by: Sequence[str]
) -> Iterator[dict]:
    histories = loss_histories(searches, records, files)
    for _, group in searches.groupby("group_id", sort=False):
        head = {k: group[k].iloc[0] for k in (*GROUP_KEYS, *by)}
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
                    yield head | {"start": start, "within": within} | values


def _at(
    costs: Float[np.ndarray, " s"], lowest: Float[np.ndarray, " s"], grid: Float[np.ndarray, " g"]
) -> Float[np.ndarray, " g"]:
    """Return the lowest loss within each cost; infinite before the first."""
    index = costs.searchsorted(grid, side="right") - 1
    return np.where(index >= 0, lowest[np.maximum(index, 0)], np.inf)
