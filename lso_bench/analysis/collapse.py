"""Does collapse decide search? Measures of latent spaces against how searches in them went, over checkpoints.

A checkpoint is a point: what `lso-bench evaluate` measured of it (AU, MI, KL, re-encoding, latent consistency), and
what its searches gave (final loss, steps to a threshold, dependence on the start), in one task, searcher, architecture
and limits. The headline is Spearman's rank correlation: Kendall's interval wants more than 4 points, and ours are few.
Checkpoints that share images, starts and seeds are no independent replicates; what goes together need not cause.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import kendalltau, norm, permutation_test, rankdata

from lso_bench.analysis.intervals import CONFIDENCE, NONE, Interval
from lso_bench.analysis.rank_tests import holm
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.store import safe_read
from lso_bench.vae.metrics import ESTIMATORS, Metrics

ACTIVE = (0.01, 0.1)  # activity above which a dimension counts
LATENT_METRICS = (
    *(f"AU {a:g}" for a in ACTIVE),
    "MI",
    "KL",
    "re-encoding",
    "consistency prior",
    "consistency posterior",
)
COMPARED_WITHIN = [c for c in GROUP_KEYS if c != "model"]
FEWEST = 3  # points of a correlation; of an interval one more
RESAMPLES = 9999  # permutations of a p; all of them where there are no more


@dataclass(frozen=True)
class Collapse:
    """A row a checkpoint and context: GROUP, weights, SPACES and outcomes. And a row a correlation of these."""

    points: pd.DataFrame = field(default_factory=pd.DataFrame)
    correlations: pd.DataFrame = field(default_factory=pd.DataFrame)


def read(folders: Iterable[Path]) -> tuple[dict[str, Metrics], list[str]]:
    """What results folders have measured, by the checkpoint's sha256, and what of it is unusable, a line each.

    Of several measurements of one checkpoint each figure is that of the one with the greatest effort that has it.
    """
    found: dict[str, list[tuple[int, Metrics]]] = {}
    skipped = []
    for path in (p for f in folders for p in sorted((f / "metrics").glob("*.json"))):
        try:
            raw = safe_read.metrics(path)
            what, metrics = raw["what"], Metrics(**raw["metrics"])
            if what["estimators"] != ESTIMATORS:
                raise ValueError(f"estimators of version {what['estimators']!r}")
            if not all(isinstance(x, int | float) for x in _spaces(metrics).values() if x is not None):
                raise TypeError("figures that are no numbers")
            effort = int(what["effort"]["images"]) + int(what["effort"]["codes"])
            found.setdefault(str(what["checkpoint"]), []).append((effort, metrics))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            skipped.append(f"{path}: no measured latent space ({type(error).__name__}: {str(error)[:80]})")
    return {sha: _together([m for _, m in sorted(of, key=lambda x: x[0])]) for sha, of in found.items()}, skipped


def _together(measured: Sequence[Metrics]) -> Metrics:
    """Later ones count, where they have a figure."""
    merged: dict[str, Any] = {}
    for m in measured:
        merged |= {k: v for k, v in vars(m).items() if v is not None or k not in merged}
    return Metrics(**merged)


def collapse(measured: Iterable[tuple[str, list[dict]]], spaces: Mapping[str, Metrics]) -> Collapse:
    """`measured`: of each checkpoint and group of searches, its sha256 and its rows of measures."""
    points = pd.DataFrame([_point(sha, rows, spaces[sha]) for sha, rows in measured if sha in spaces])
    if points.empty:
        return Collapse()
    contexts = [own for _, own in points.groupby(COMPARED_WITHIN, sort=False, dropna=False) if len(own) >= FEWEST]
    return Collapse(points, pd.DataFrame([row for own in contexts for row in correlations(own)]))


def _point(sha: str, rows: list[dict], space: Metrics) -> dict[str, Any]:
    head = {k: rows[0][k] for k in GROUP_KEYS}
    return head | {"weights": sha} | _spaces(space) | dict(_outcomes(rows))


def _spaces(space: Metrics) -> dict[str, int | float | None]:
    au = [sum(x > a for x in space.activity) for a in ACTIVE]
    others = space.mi, space.kl, space.reencoding_mean, space.consistency_prior, space.consistency_posterior
    return dict(zip(LATENT_METRICS, (*au, *others), strict=True))


def _outcomes(rows: list[dict]) -> Iterator[tuple[str, float]]:
    """Of searches from the first kind of start, and of the first kind of pair, which the names say.

    Of spread and distance at the end the mean: their medians are what float32 leaves of 0 where most starts meet.
    """
    of = {m: [r for r in rows if r["measure"] == m] for m in ("loss", "iterations", "spread", "basin", "distance")}
    start = of["loss"][0]["start"]
    yield f"final loss, {start}", of["loss"][0]["median"]
    if steps := [r for r in of["iterations"] if r["start"] == start]:
        last = min(steps, key=lambda r: r["threshold"])
        yield f"steps to {last['threshold']:g}, {start}", last["median"]
    if of["basin"]:
        kind = of["basin"][0]["start"]
        yield f"spread, {of['spread'][0]['start']}", of["spread"][0]["mean"]
        yield f"same basin, {kind}", of["basin"][0]["estimate"]
        pairs = [r for r in of["distance"] if r["start"] == kind]
        if met := [r for r in pairs if "threshold" in r]:
            first = max(met, key=lambda r: r["threshold"])
            yield f"distance at {first['threshold']:g}, {kind}", first["median"]
        yield f"distance at the end, {kind}", next(r["mean"] for r in pairs if "threshold" not in r)


def correlations(points: pd.DataFrame) -> Iterator[dict]:
    """Of every measure of the space with every outcome, in one context: Spearman's with its 95 % interval, Kendall's, p
    by permutation, and p by Holm over all of this context.
    """
    head = {k: points[k].iloc[0] for k in COMPARED_WITHIN}
    found = []
    for outcome in outcomes_of(points):
        for space in LATENT_METRICS:
            there = points[[space, outcome]].astype(float).dropna().to_numpy()
            found.append({"outcome": outcome, "space": space, "n": len(there)} | correlation(*there.T))
    adjusted = holm(np.array([row["p"] for row in found]))
    tests = int(np.isfinite(adjusted).sum())
    for row, p in zip(found, adjusted, strict=True):
        yield head | row | {"holm": float(p), "of": tests}


def outcomes_of(points: pd.DataFrame) -> list[str]:
    """The columns that say how searches went, which stand last, where these have them."""
    after = list(points.columns).index(LATENT_METRICS[-1]) + 1
    return [c for c in points.columns[after:] if bool(points[c].notna().any())]


def correlation(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> dict[str, float]:
    """Spearman's, and Kendall's tau-b; NaN of fewer than FEWEST points, or where one of the two never changes."""
    ranks = np.stack([rankdata(x), rankdata(y)])
    if len(x) < FEWEST or (np.ptp(ranks, axis=1) == 0).any():
        return dict.fromkeys(("estimate", "low", "high", "kendall", "p"), np.nan)
    rho = float(np.clip(_spearman(*ranks), -1, 1))
    low, high = spearman_interval(rho, len(x))
    return {
        "estimate": rho,
        "low": low,
        "high": high,
        "kendall": float(cast(Any, kendalltau(x, y)).statistic),
        "p": _p(*ranks),
    }


def spearman_interval(rho: float, n: int) -> Interval:
    """Fisher's z with the variance of Bonett & Wright 2000, (1 + rho^2 / 2) / (n - 3); n <= 3 has none.

    1 and -1 count as half a step nearer to 0 (the smallest step of rho is 12 / (n^3 - n)), their own end as that.
    """
    if n <= FEWEST:
        return NONE
    most = 1 - 6 / (n**3 - n)
    inside = min(max(rho, -most), most)
    reach = norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((1 + inside**2 / 2) / (n - 3))
    low, high = np.tanh(np.arctanh(inside) + np.array([-reach, reach])).tolist()
    return (-1.0 if rho < -most else low), (1.0 if rho > most else high)


def _p(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """That a pairing by chance is as far from 0, on either side; all n! pairings where they are few."""
    test = permutation_test(
        (x,),
        lambda x, axis: _spearman(x, y),
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        vectorized=True,
        rng=0,
    )
    return float(cast(Any, test).pvalue)


def _spearman(x: Float[np.ndarray, "*r n"], y: Float[np.ndarray, " n"]) -> Any:
    """Pearson's of ranks, along the last axis."""
    a, b = x - x.mean(axis=-1, keepdims=True), y - y.mean()
    return (a * b).sum(axis=-1) / np.sqrt(np.square(a).sum(axis=-1) * np.square(b).sum())
