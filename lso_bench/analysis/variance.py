"""Where the variance of the final loss comes from: training seed, target, start, search seed.

Of training seed, start and search seed the **total effect**: the expected variance of the loss when that factor alone
changes and all others are fixed. It is estimated by the mean, over the cells in which the others are fixed, of the
sample variance over the factor's levels, which is unbiased for any design, also an unbalanced one. Total variance: half
the mean squared difference of searches that differ in every factor. A random start is drawn for each target, so that no
start is left where the target alone changes; the **target** has instead what its searches share (the first-order
effect): the total less half the mean squared difference of searches of one target that differ in all else. Where
nothing but the target varies it cannot be told from the rest, and has no number. Interactions count for each of the
factors with a total effect, so shares may add up to more than 1. Sources: Homma & Saltelli 1996 (both effects), Jansen
1999 (as half a mean squared difference).

Intervals are the jackknife's over instances, on the logarithm: they hold for these starts and search seeds, not for
others. All instances share the training seeds, of which there are few: of their variance no interval is given. A
bootstrap's percentiles covered 5 percentage points less (docs/statistics.md).
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
NOTHING = 0.005  # share that is shown as 0 %


def decomposition(own: pd.DataFrame) -> Iterator[dict]:
    """A row a factor, and the total: the variance, and in `variance share:` rows its share of the total.

    A factor of one level has no number. Where the search seed moves with the init seed the two are one factor. Of the
    total, n are searches with a finite loss, and `censored` the others.
    """
    moving = search_seed_follows_init(own)
    start = own.code
    if moving:
        start = start + own.search.map(" {}".format).where(own.start.map(is_random), "")
    factors = {"train seed": own.train.astype(str) + own.weights, "target": own.instance}
    factors |= {START_AND_SEARCH_SEED: start} if moving else {"start": start, "search seed": own.search}
    numbered = {f: pd.factorize(values)[0] for f, values in factors.items()}  # grouped sooner than words
    design = own[["instance", "loss"]].assign(**numbered).loc[unique_starts(own).index]
    every, design = len(design), design[np.isfinite(design.loss)]
    levels = {f: int(design[f].nunique()) for f in factors}
    varied = [f for f in factors if levels[f] > 1]
    within = [f for f in varied if f != "target"]
    whole = _half_squares(design, within) if varied else None
    for f in factors:
        if f == "target":
            found = _of_target(design, within, whole) if "target" in varied else None
        else:
            found = _effect(design, [g for g in varied if g != f]) if f in varied else None
        yield from _rows(f, levels[f], found, whole)
    for row in _rows("total", len(design), whole, None):
        yield row | {"censored": every - len(design)}


def _rows(name: str, n: int, found: np.ndarray | None, whole: np.ndarray | None) -> Iterator[dict]:
    """Of the statistic, the sample's own first, then without each instance. n: levels; of the total, searches."""
    known = name != "train seed"  # whether instances say how sure it is
    yield {"measure": f"variance:{name}", "n": n} | _estimate(found, known)
    if name != "total":
        with np.errstate(divide="ignore", invalid="ignore"):
            share = None if found is None or whole is None else found / whole
        yield {"measure": f"variance share:{name}", "n": n} | _within(_estimate(share, known))


def _estimate(found: np.ndarray | None, known: bool) -> dict[str, int | float]:
    if found is None:
        return dict.fromkeys(("estimate", "low", "high"), np.nan)
    low, high = jackknife(float(found[0]), found[1:]) if known else NONE
    return {"estimate": float(found[0]), "low": low, "high": high}


def _within(share: dict[str, int | float]) -> dict[str, int | float]:
    """A share and its interval kept from 0 to 1, which samples leave and the truth does not; none from end to end."""
    kept = {k: float(np.clip(v, 0, 1)) for k, v in share.items()}
    useless = kept["low"] < NOTHING and kept["high"] > 1 - NOTHING
    return kept | ({"low": np.nan, "high": np.nan} if useless else {})


def _weights(n: int) -> Float[np.ndarray, "r n"]:
    """Of the instances: all once, then each left out; a single one is not."""
    return np.concatenate([np.ones((1, n)), 1 - np.eye(n)]) if n > 1 else np.ones((1, 1))


def _of_target(design: pd.DataFrame, others: list[str], whole: np.ndarray | None) -> Float[np.ndarray, " r"] | None:
    """What the searches of a target have in common; of none of which a second one differs in all else, nothing."""
    apart = _half_squares(design, others, same=True) if others else None
    return None if whole is None or apart is None or np.isnan(apart[0]) else whole - apart


def _effect(design: pd.DataFrame, others: list[str]) -> Float[np.ndarray, " r"] | None:
    """Of the factor that is not among `others`."""
    cells = design.groupby([*others, "instance"] if "target" not in others else others, sort=False)
    variances = pd.DataFrame({"instance": cells.instance.first(), "loss": cells.loss.var()}).dropna()
    if variances.empty:
        return None
    instances = design.instance.unique()
    of = pd.Index(instances).get_indexer(variances.instance)
    sums, count = (np.bincount(of, x, minlength=len(instances)) for x in (variances.loss, np.ones(len(of))))
    weights = _weights(len(instances))
    with np.errstate(invalid="ignore"):
        return (weights @ sums) / (weights @ count)


def _half_squares(design: pd.DataFrame, others: list[str], same: bool = False) -> Float[np.ndarray, " r"]:
    """Half the mean squared difference of searches that differ in the instance (if there are several; where `same`, of
    one instance) and in each of `others`: all pairs, less those alike in one of them, plus those alike in two ...
    """
    instances = design.instance.unique()
    of = pd.Index(instances).get_indexer(design.instance)
    y = (design.loss - design.loss.mean()).to_numpy()
    squares, pairs = np.zeros((2, len(instances), len(instances)))
    for k in range(len(others) + 1):
        for alike in combinations(others, k):
            cell = design.groupby([*alike], sort=False).ngroup().to_numpy() if alike else np.zeros(len(y), int)
            n, first, second = (_by_instance(of, cell, len(instances), x) for x in (np.ones_like(y), y, y**2))
            sign = (-1) ** k
            squares += sign * ((second @ n.T + n @ second.T) / 2 - first @ first.T)
            pairs += sign * (n @ n.T)
    w = _weights(len(instances))
    counted = np.eye(len(instances))
    if not same and len(instances) > 1:
        counted = 1 - counted
    squares, pairs = (((w @ (x * counted)) * w).sum(1) for x in (squares, pairs))
    return np.divide(squares, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0.5)  # counts, of none: undefined


def _by_instance(of: np.ndarray, cell: np.ndarray, size: int, x: np.ndarray) -> Float[np.ndarray, "i c"]:
    """The sums of x over each instance and cell."""
    width = int(cell.max()) + 1
    return np.bincount(of * width + cell, x, minlength=size * width).reshape(size, width)
