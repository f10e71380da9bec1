"""Variance of the final loss by factor: training seed, target, start, search seed.

Training seed, start and search seed have a **total effect**: the expected variance of the loss when that factor alone
changes and all others are fixed. It is the mean, over the cells in which the others are fixed, of the sample variance
over the factor's levels. This is unbiased for any design, also an unbalanced one. The total variance is half the mean
squared difference of searches that differ in every factor.

A random start is drawn for each target, so no start is fixed where the target alone changes. The **target** has the
first-order effect instead: the variance that its searches share. It is the total less half the mean squared difference
of searches of one target that differ in all other factors. It is undefined where nothing but the target varies.
Interactions count for each factor with a total effect, so shares may add up to more than 1. Sources: Homma & Saltelli
1996 (both effects), Jansen 1999 (as half a mean squared difference).

Intervals are jackknifed over instances, on the logarithm. They hold for these starts and search seeds, not for others.
All instances share the few training seeds, so their variance has no interval. Bootstrap percentiles covered 5
percentage points less (docs/statistics.md).
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from lso_bench.analysis.intervals import NONE, jackknife
from lso_bench.analysis.start_sensitivity import search_seed_follows_init, unique_starts
from lso_bench.analysis.table import is_random

START_AND_SEARCH_SEED = "start and search seed"
FACTORS = ("train seed", "target", "start", "search seed", START_AND_SEARCH_SEED)
NEGLIGIBLE = 0.005  # share that is printed as 0 %


def decomposition(group: pd.DataFrame) -> Iterator[dict]:
    """Yield one row per factor and for the total: the variance, and rows `variance share:` with its share.

    A factor of one level has no value. If the search seed follows the init seed, the two are one factor. In the total,
    n counts searches with a finite loss, and `censored` the others.
    """
    seeds_linked = search_seed_follows_init(group)
    start = group.start_id
    if seeds_linked:
        start = start + group.search.map(" {}".format).where(group.start.map(is_random), "")
    factors = {"train seed": group.train.astype(str) + group.weights, "target": group.instance}
    factors |= {START_AND_SEARCH_SEED: start} if seeds_linked else {"start": start, "search seed": group.search}
    numbered = {f: pd.factorize(values)[0] for f, values in factors.items()}  # numbers are grouped faster than text
    design = group[["instance", "loss"]].assign(**numbered).loc[unique_starts(group).index]
    searches, design = len(design), design[np.isfinite(design.loss)]
    levels = {f: int(design[f].nunique()) for f in factors}
    varied = [f for f in factors if levels[f] > 1]
    other_factors = [f for f in varied if f != "target"]
    total = _half_mean_squares(design, other_factors) if varied else None
    for f in factors:
        if f == "target":
            effect = _target_variance(design, other_factors, total) if "target" in varied else None
        else:
            effect = _total_effect(design, [g for g in varied if g != f]) if f in varied else None
        yield from _statistic_rows(f, levels[f], effect, total)
    for row in _statistic_rows("total", len(design), total, None):
        yield row | {"censored": searches - len(design)}


def _statistic_rows(name: str, n: int, values: np.ndarray | None, total: np.ndarray | None) -> Iterator[dict]:
    """Yield the rows of a statistic: first its value over all instances, then without each instance.

    n counts levels, and searches for the total.
    """
    has_interval = name != "train seed"  # instances share training seeds
    yield {"measure": f"variance:{name}", "n": n} | _estimate(values, has_interval)
    if name != "total":
        with np.errstate(divide="ignore", invalid="ignore"):
            share = None if values is None or total is None else values / total
        yield {"measure": f"variance share:{name}", "n": n} | _clip_share(_estimate(share, has_interval))


def _estimate(values: np.ndarray | None, has_interval: bool) -> dict[str, int | float]:
    if values is None:
        return dict.fromkeys(("estimate", "low", "high"), np.nan)
    low, high = jackknife(float(values[0]), values[1:]) if has_interval else NONE
    return {"estimate": float(values[0]), "low": low, "high": high}


def _clip_share(share: dict[str, int | float]) -> dict[str, int | float]:
    """Clip a share and its interval to [0, 1]; an interval from end to end is dropped."""
    clipped = {k: float(np.clip(v, 0, 1)) for k, v in share.items()}
    is_uninformative = clipped["low"] < NEGLIGIBLE and clipped["high"] > 1 - NEGLIGIBLE
    return clipped | ({"low": np.nan, "high": np.nan} if is_uninformative else {})


def _jackknife_weights(n: int) -> Float[np.ndarray, "r n"]:
    """Return weights of instances: all once, then each left out, if there are several."""
    return np.concatenate([np.ones((1, n)), 1 - np.eye(n)]) if n > 1 else np.ones((1, 1))


def _target_variance(
    design: pd.DataFrame, other_factors: list[str], total: np.ndarray | None
) -> Float[np.ndarray, " r"] | None:
    """Return the variance that the searches of a target share.

    None if no target has two searches that differ in all other factors.
    """
    within_target = _half_mean_squares(design, other_factors, same_instance=True) if other_factors else None
    return None if total is None or within_target is None or np.isnan(within_target[0]) else total - within_target


def _total_effect(design: pd.DataFrame, other_factors: list[str]) -> Float[np.ndarray, " r"] | None:
    """Return the total effect of the factor that is not among `other_factors`."""
    cells = design.groupby([*other_factors, "instance"] if "target" not in other_factors else other_factors, sort=False)
    variances = pd.DataFrame({"instance": cells.instance.first(), "loss": cells.loss.var()}).dropna()
    if variances.empty:
        return None
    instances = design.instance.unique()
    instance_index = pd.Index(instances).get_indexer(variances.instance)
    sums, count = (
        np.bincount(instance_index, x, minlength=len(instances)) for x in (variances.loss, np.ones(len(instance_index)))
    )
    weights = _jackknife_weights(len(instances))
    with np.errstate(invalid="ignore"):
        return (weights @ sums) / (weights @ count)


def _half_mean_squares(
    design: pd.DataFrame, factors: list[str], same_instance: bool = False
) -> Float[np.ndarray, " r"]:
    """Return half the mean squared difference of searches that differ in each of `factors`.

    They also differ in the instance, if there are several; with `same_instance` they share it. Inclusion-exclusion: all
    pairs, less those equal in one factor, plus those equal in two ...
    """
    instances = design.instance.unique()
    instance_index = pd.Index(instances).get_indexer(design.instance)
    y = (design.loss - design.loss.mean()).to_numpy()
    squares, pairs = np.zeros((2, len(instances), len(instances)))
    for k in range(len(factors) + 1):
        for shared in combinations(factors, k):
            cell = design.groupby([*shared], sort=False).ngroup().to_numpy() if shared else np.zeros(len(y), int)
            n, first, second = (
                _sum_by_instance(instance_index, cell, len(instances), x) for x in (np.ones_like(y), y, y**2)
            )
            sign = (-1) ** k
            squares += sign * ((second @ n.T + n @ second.T) / 2 - first @ first.T)
            pairs += sign * (n @ n.T)
    weights = _jackknife_weights(len(instances))
    allowed = np.eye(len(instances))
    if not same_instance and len(instances) > 1:
        allowed = 1 - allowed
    squares, pairs = (((weights @ (x * allowed)) * weights).sum(1) for x in (squares, pairs))
    return np.divide(squares, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0.5)  # no pairs: undefined


def _sum_by_instance(
    instance_index: np.ndarray, cell: np.ndarray, size: int, x: np.ndarray
) -> Float[np.ndarray, "i c"]:
    """Sum x over each instance and cell."""
    width = int(cell.max()) + 1
    return np.bincount(instance_index * width + cell, x, minlength=size * width).reshape(size, width)
