"""Figure of collapse against search: outcomes of searches over latent-space metrics."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lso_bench.analysis.collapse import COMPARED_WITHIN, FEWEST, LATENT_METRICS, correlation, outcomes_of
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import CaptionedFigure, Size, label, legend


def scatter(points: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw outcomes of searches (rows) against latent-space metrics (columns), a point per checkpoint.

    None if no metric has FEWEST points.

    Args:
        points: rows of one context, of `lso_bench.analysis.collapse.Collapse.checkpoint_table`.
    """
    spaces = [s for s in LATENT_METRICS if int(points[s].notna().to_numpy().sum()) >= FEWEST]
    outcomes = outcomes_of(points)
    if not spaces:
        return None
    figure = Figure(figsize=(size.width, 1.25 * size.height_factor * len(outcomes) + 0.9))
    axes = figure.subplots(len(outcomes), len(spaces), sharex="col", sharey="row", squeeze=False)
    correlations = {}
    for line, outcome in zip(axes, outcomes, strict=True):
        for axis, space in zip(line, spaces, strict=True):
            correlations[space, outcome] = _draw_panel(axis, points, space, outcome)
        line[0].set_ylabel(outcome.replace(", ", "\n"))
    for axis, space in zip(axes[-1], spaces, strict=True):
        axis.set_xlabel(space.replace(" ", "\n", 1))
    legend(figure, [*axes.flat], size)
    caption = (
        f"Does collapse decide search? A point is one of {len(points)} trained models; over each panel Spearman's rank "
        "correlation. Its interval, and what it can show, are in the table."
    )
    descriptions = [
        f"{outcome} with {space} {rho:.2f}" for (space, outcome), rho in correlations.items() if not np.isnan(rho)
    ]
    heading = f"Outcomes of searches over measures of the latent space: {title}"
    return CaptionedFigure("collapse", figure, heading, caption, f"Rank correlations: {'; '.join(descriptions)}.")


def contexts(points: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a title and the checkpoints of each context."""
    if points.empty:
        return
    for _, group in points.groupby(COMPARED_WITHIN, sort=False, dropna=False):
        first = group.iloc[0]
        yield f"{first.task} · {first.searcher} · {first.arch}, d = {first.latent}", group


def _draw_panel(axis: Any, points: pd.DataFrame, space: str, outcome: str) -> float:
    """Draw the points of a panel, and return their rank correlation."""
    for model, model_points in points.groupby("model", sort=False):
        name = str(model)
        axis.plot(model_points[space], model_points[outcome], marker_of(name), color=colour_of(name), label=label(name))
    values = points[outcome].to_numpy(float)
    if values.min() > 0 and values.max() > 20 * values.min():
        axis.set_yscale("log")
    rho = correlation(*points[[space, outcome]].astype(float).dropna().to_numpy().T)["estimate"]
    axis.set_title("" if np.isnan(rho) else f"{rho:.2f}")
    axis.margins(0.12)
    return rho
