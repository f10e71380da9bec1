"""Correlations of latent-space metrics with search outcomes, over checkpoints: does collapse decide search?

A checkpoint is a point. Its metrics come from `lso-bench evaluate` (AU, MI, KL, decoder use, retrieval, re-encoding,
latent consistency). Its outcomes come from its searches (final loss, steps to a threshold, dependence on the start),
within one task, searcher, architecture and limits. The main figure is Spearman's rank correlation: an interval of
Kendall's needs more than 4 points, and there are few. Trainings of one model that differ in their seed are a cluster,
and count as one point, their mean. Models that share images, starts and seeds are no independent replicates, and a
correlation is no cause.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jaxtyping import Float

from lso_bench.analysis.rank_correlation import FEWEST, correlation, is_drawn, partial_correlation, smallest_p
from lso_bench.analysis.rank_tests import ALPHA, holm
from lso_bench.analysis.table import GROUP_KEYS, SHARE
from lso_bench.store import result_files
from lso_bench.vae.metrics import ESTIMATORS, Metrics

ACTIVE = 0.1  # activity above which a dimension counts; above 0.01 all dimensions of a decoder without pixels do
LATENT_METRICS = (  # docs/statistics.md says which are left out, and why
    "AU above noise",
    f"AU {ACTIVE:g}",
    "MI",
    "KL",
    "decoder use",
    "retrieval",
    "re-encoding draw",
    "consistency prior",
    "consistency posterior",
)
COMPARED_WITHIN = [c for c in GROUP_KEYS if c != "model"]
GIVEN = "-ELBO"  # measure of the fit that partial correlations hold constant


@dataclass(frozen=True)
class Collapse:
    """Checkpoints and their correlations.

    `checkpoint_table` has a row per checkpoint and context: GROUP_KEYS, `weights`, LATENT_METRICS and outcomes.
    `correlations` has a row per context, outcome and metric. `unmeasured` has a row per checkpoint and context that was
    searched and not measured: GROUP_KEYS, `weights`, and `trained`, its `Model`.
    """

    checkpoint_table: pd.DataFrame = field(default_factory=pd.DataFrame)
    correlations: pd.DataFrame = field(default_factory=pd.DataFrame)
    unmeasured: pd.DataFrame = field(default_factory=pd.DataFrame)


def read(folders: Iterable[Path]) -> tuple[dict[str, Metrics], list[str]]:
    """Return the measured metrics of results folders by the checkpoint's sha256, and a line for each unusable file.

    If a checkpoint was measured several times, each metric is taken from the measurement with the most images and
    latents that has it.
    """
    measurements: dict[str, list[tuple[int, Metrics]]] = {}
    skipped = []
    for path in (p for folder in folders for p in sorted((folder / "metrics").glob("*.json"))):
        try:
            raw = result_files.metrics(path)
            subject, metrics = raw["what"], Metrics(**raw["metrics"])
            if subject["estimators"] != ESTIMATORS:
                raise ValueError(f"estimators of version {subject['estimators']!r}")
            if not all(isinstance(x, int | float) for x in _latent_metrics(metrics).values() if x is not None):
                raise TypeError("figures that are no numbers")
            effort = int(subject["effort"]["images"]) + int(subject["effort"]["codes"])
            measurements.setdefault(str(subject["checkpoint"]), []).append((effort, metrics))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            skipped.append(f"{path}: no measured latent space ({type(error).__name__}: {str(error)[:80]})")
    return {
        sha: _merge_metrics([m for _, m in sorted(candidates, key=lambda x: x[0])])
        for sha, candidates in measurements.items()
    }, skipped


def _merge_metrics(measured: Sequence[Metrics]) -> Metrics:
    """Merge measurements; a later one overrides earlier ones where it has a value."""
    merged: dict[str, Any] = {}
    for m in measured:
        merged |= {k: v for k, v in vars(m).items() if v is not None or k not in merged}
    return Metrics(**merged)


def collapse(
    measured: Iterable[tuple[str, list[dict]]], spaces: Mapping[str, Metrics], unmeasured: Iterable[dict] = ()
) -> Collapse:
    """Correlate latent-space metrics with search outcomes.

    Args:
        measured: the checkpoint's sha256 and the rows of measures, for each checkpoint and group of searches.
        spaces: metrics of the latent space, by the checkpoint's sha256.
        unmeasured: rows of checkpoints that were searched and are not in `spaces`.
    """
    absent = pd.DataFrame([*unmeasured])
    points = pd.DataFrame([_point(sha, rows, spaces[sha]) for sha, rows in measured if sha in spaces])
    if points.empty:
        return Collapse(unmeasured=absent)
    groups = (group for _, group in points.groupby(COMPARED_WITHIN, sort=False, dropna=False))
    contexts = [group for group in groups if group.model.nunique() >= FEWEST]
    return Collapse(points, pd.DataFrame([row for group in contexts for row in correlations(group)]), absent)


def _point(sha: str, rows: list[dict], space: Metrics) -> dict[str, Any]:
    head = {k: rows[0][k] for k in GROUP_KEYS}
    return head | {"weights": sha, GIVEN: space.nelbo} | _latent_metrics(space) | dict(_outcomes(rows))


def _latent_metrics(space: Metrics) -> dict[str, int | float | None]:
    au = space.au_relative, sum(x > ACTIVE for x in space.activity)
    of_decoder = space.decoder_use, space.retrieval, space.reencoding_draw
    consistency = space.consistency_prior, space.consistency_posterior
    return dict(zip(LATENT_METRICS, (*au, space.mi, space.kl, *of_decoder, *consistency), strict=True))


def _outcomes(rows: list[dict]) -> Iterator[tuple[str, float]]:
    """Yield name and value of each outcome: of the first kind of start, and of the first kind of pair.

    Spread and final distance are means. Their medians are rounding errors of float32 where most starts meet.
    """
    by_measure = {
        m: [r for r in rows if r["measure"] == m] for m in ("loss", SHARE, "iterations", "spread", "basin", "distance")
    }
    start = by_measure["loss"][0]["start"]
    yield f"final loss, {start}", by_measure["loss"][0]["median"]
    if retrieved := [r for r in by_measure[SHARE] if r["start"] == start]:
        yield f"retrieved, {start}", retrieved[0]["estimate"]
    if steps := [r for r in by_measure["iterations"] if r["start"] == start]:
        lowest = min(steps, key=lambda r: r["threshold"])
        yield f"steps to {lowest['threshold']:g}, {start}", lowest["median"]
    if by_measure["basin"]:
        kind = by_measure["basin"][0]["start"]
        yield f"spread, {by_measure['spread'][0]['start']}", by_measure["spread"][0]["mean"]
        yield f"same basin, {kind}", by_measure["basin"][0]["estimate"]
        pairs = [r for r in by_measure["distance"] if r["start"] == kind]
        if at_thresholds := [r for r in pairs if "threshold" in r]:
            highest = max(at_thresholds, key=lambda r: r["threshold"])
            yield f"distance at {highest['threshold']:g}, {kind}", highest["median"]
        yield f"distance at the end, {kind}", next(r["mean"] for r in pairs if "threshold" not in r)


def correlations(points: pd.DataFrame) -> Iterator[dict]:
    """Yield the correlation of each latent-space metric with each outcome, in one context.

    A row has the numbers of models (`n`) and of trainings, Spearman's rho with its 95 % interval, Kendall's tau, p by
    permutation, p after Holm's correction over all pairs of this context, and the partial correlation given -ELBO.
    """
    head = {k: points[k].iloc[0] for k in COMPARED_WITHIN}
    rows = []
    for outcome in outcomes_of(points):
        for metric in LATENT_METRICS:
            pair = [metric, outcome]
            known = points.dropna(subset=pair)
            counts = {"n": known.model.nunique(), "trainings": len(known)}
            values = correlation(*means_of_models(known, pair)) | partial_correlation(
                *means_of_models(known.dropna(subset=GIVEN), [*pair, GIVEN])
            )
            rows.append({"outcome": outcome, "metric": metric} | counts | values)
    adjusted = holm(np.array([row["p"] for row in rows]))
    tests = int(np.isfinite(adjusted).sum())
    for row, p in zip(rows, adjusted, strict=True):
        yield head | row | {"holm": float(p), "of": tests}


def fewest_models(tests: int) -> int | None:
    """Return the fewest models of which p can be below ALPHA after Holm's correction over `tests` correlations.

    None: no number suffices, because the permutations that are drawn end the p of many models.
    """
    drawn = next(n for n in count(FEWEST) if is_drawn(n))
    return next((n for n in range(FEWEST, drawn + 1) if smallest_p(n) * tests < ALPHA), None)


def outcomes_of(points: pd.DataFrame) -> list[str]:
    """Return the columns of outcomes, which stand last, that have a value."""
    after = list(points.columns).index(LATENT_METRICS[-1]) + 1
    return [c for c in points.columns[after:] if bool(points[c].notna().any())]


def means_of_models(points: pd.DataFrame, names: Sequence[str]) -> Float[np.ndarray, "c n"]:
    """Return these c columns with one value for each model: the mean of its trainings."""
    values = points[[*names]].astype(float)
    return cast(pd.DataFrame, values.groupby(points.model, sort=False).mean()).to_numpy().T
