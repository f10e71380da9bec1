"""Figures of ranks: which contestants cannot be told apart, and collapse against search."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lso_bench import ranks
from lso_bench.collapse import CONTEXT, FEWEST, SPACES, correlation, outcomes_of
from lso_bench.colours import colour_of
from lso_bench.figures import MARKERS
from lso_bench.pictures import plt, save
from lso_bench.searches import GROUP

NAMES = {"loss": "final loss", "iterations": "steps to"}


def critical_difference(path: Path, title: str, rows: pd.DataFrame) -> bool:
    """Mean ranks of models (given a searcher) and of searchers (given a model), a panel a comparison; a bar joins those
    that lie within Nemenyi's critical difference (Demsar 2006, section 3.2.2 and figure 1, here from top to bottom).

    False, and nothing drawn, where no comparison has 3 contestants and 10 instances.
    """
    contests = [*_contests(rows)]
    if not contests:
        return False
    heights = [1.1 + 0.24 * len(own) for _, own in contests]
    size = (7, sum(heights) + 0.6)
    figure, axes = plt.subplots(len(contests), 1, figsize=size, height_ratios=heights, squeeze=False)
    for axis, (name, own) in zip(axes.flat, contests, strict=True):
        _ranks(axis, name, own)
    lines = f"{title}\nmean rank over the instances, 1 is best; a bar joins what cannot be told apart (Nemenyi, 5 %)"
    return _finish(figure, path, lines)


def _contests(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and contestants, each with its `label`."""
    for factor, outcome in ((f, o) for f in ("model", "searcher") for o in NAMES):
        context = [*(c for c in GROUP if c != factor), "start"]
        ranked = rows[rows.measure == f"{factor} rank:{outcome}"]
        for _, own in ranked.groupby(context, sort=False, dropna=False):
            first = own.iloc[0]
            if len(own) >= ranks.CONTESTANTS and first.n >= ranks.BLOCKS:
                what = NAMES[outcome] + (f" {first.threshold:g}" if outcome == "iterations" else "")
                given, label = (first.how, own.model) if factor == "model" else (first.model, own.how)
                yield f"{what}; {given}; from {first.start}; n = {first.n:g}", own.assign(label=label)


def _ranks(axis: Any, name: str, own: pd.DataFrame) -> None:
    """The best on top; the bars to the right."""
    k = len(own)
    reach = ranks.critical_difference(k, int(own.n.iloc[0]))
    for i, (mean, model) in enumerate(zip(own.estimate, own.model, strict=True)):
        axis.plot(mean, i, "o", color=colour_of(model), markersize=7)
    bars = ranks.alike(own.estimate.to_numpy(), reach)
    for place, (first, last) in enumerate(bars):
        x = k + 0.25 + 0.15 * place
        axis.plot([x, x], [first - 0.2, last + 0.2], color="#555555", linewidth=4, solid_capstyle="butt")
    axis.errorbar(1 + reach / 2, -1, xerr=reach / 2, color="black", capsize=3, linewidth=1)
    axis.text(1 + reach + 0.05, -1, f"critical difference {reach:.2f}", fontsize=7, va="center")
    axis.set_yticks(range(k), own.label, fontsize=8)
    axis.set(xlim=(0.9, k + 0.3 + 0.15 * len(bars)), ylim=(k - 0.4, -1.6), xticks=range(1, k + 1))
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(name, fontsize=8)


def scatter(path: Path, title: str, points: pd.DataFrame) -> bool:
    """Outcomes of searches (rows) against measures of the latent space (columns), a point a checkpoint.

    `points`: of one context, as `lso_bench.collapse.Collapse` has them. False, and nothing drawn, of fewer than FEWEST.
    """
    spaces = [s for s in SPACES if points[s].notna().sum() >= FEWEST]
    outcomes = outcomes_of(points)
    if not spaces:
        return False
    size = (max(2.1 * len(spaces) + 0.6, 6), 1.6 * len(outcomes) + 1.3)
    figure, axes = plt.subplots(len(outcomes), len(spaces), figsize=size, sharex="col", sharey="row", squeeze=False)
    for line, outcome in zip(axes, outcomes, strict=True):
        for axis, space in zip(line, spaces, strict=True):
            _points(axis, points, space, outcome)
        line[0].set_ylabel(outcome.replace(", ", "\n", 1), fontsize=8)
    for axis, space in zip(axes[-1], spaces, strict=True):
        axis.set_xlabel(space, fontsize=8)
    axes[0, -1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1))
    more = "does collapse decide search? a point is a trained model; Spearman's rank correlation and its 95 % interval"
    return _finish(figure, path, f"{title}\n{more}")


def _points(axis: Any, points: pd.DataFrame, space: str, outcome: str) -> None:
    for i, (model, own) in enumerate(points.groupby("model", sort=False)):
        colour = colour_of(str(model))
        axis.plot(own[space], own[outcome], MARKERS[i % len(MARKERS)], color=colour, label=str(model), markersize=5)
    if (points[outcome] > 0).all() and points[outcome].max() > 20 * points[outcome].min():
        axis.set_yscale("log")
    found = correlation(*points[[space, outcome]].astype(float).dropna().to_numpy().T)
    within = "" if np.isnan(found["low"]) else f" ({found['low']:.2f} .. {found['high']:.2f})"
    axis.set_title("" if np.isnan(found["estimate"]) else f"{found['estimate']:.2f}{within}", fontsize=7)
    axis.tick_params(labelsize=7)
    axis.margins(0.12)


def contexts(points: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """A title, and the points that are compared with each other."""
    if points.empty:
        return
    for _, own in points.groupby(CONTEXT, sort=False, dropna=False):
        first = own.iloc[0]
        yield f"{first.task} · {first.searcher} · {first.arch}, d = {first.latent}", own


def _finish(figure: Any, path: Path, title: str) -> bool:
    wide = int(14 * figure.get_size_inches()[0])  # letters of that size
    figure.suptitle("\n".join(textwrap.fill(line, wide) for line in title.splitlines()), fontsize=9)
    save(figure, path)
    return True
