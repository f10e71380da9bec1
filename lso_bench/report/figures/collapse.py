"""Figure of collapse against search: final losses over measures of the latent space."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from lso_bench.analysis.collapse import COMPARED_WITHIN, means_of_models, outcomes_of
from lso_bench.analysis.rank_correlation import FEWEST, correlation
from lso_bench.analysis.table import SECTION_KEYS
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import CaptionedFigure, Size, blank, label, legend
from lso_bench.report.sections import searcher_labels, short_titles

# Measures with a panel; tables have the others.
SHOWN = ("AU above noise", "KL", "decoder use", "retrieval", "re-encoding draw", "consistency prior")
PANEL = 1.05  # inches of a panel with its text, at least


def scatter(points: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the final loss (a row of panels per searcher) over latent-space metrics (columns), a point per checkpoint.

    Metrics that the width does not hold stand in further rows. None if no metric has FEWEST points.

    Args:
        points: rows of one section, of `lso_bench.analysis.collapse.Collapse.checkpoint_table`.
        title: of the section.
    """
    spaces = [s for s in SHOWN if int(points[s].notna().to_numpy().sum()) >= FEWEST]
    groups = [g for _, g in points.groupby(COMPARED_WITHIN, sort=False, dropna=False) if g.model.nunique() >= FEWEST]
    if not spaces or not groups:
        return None
    names = dict(zip(points.index, searcher_labels(points), strict=True))
    columns = max(1, int(size.width / PANEL))
    blocks = [spaces[i : i + columns] for i in range(0, len(spaces), columns)]
    rows = len(groups) * len(blocks)
    figure = blank(size.width, 1.2 * size.height_factor * rows + 0.9)
    axes = figure.subplots(rows, len(blocks[0]), sharey="row", squeeze=False)
    descriptions = []
    for (block, group), line in zip(product(blocks, groups), axes, strict=True):
        outcome, name = outcomes_of(group)[0], names[group.index[0]]
        for axis, space in zip(line, block, strict=False):
            rho = _draw_panel(axis, group, space, outcome)
            descriptions += [f"{outcome} of {label(name)} with {space} {rho:.2f}"] * (not np.isnan(rho))
        for axis in line[len(block) :]:
            axis.set_visible(False)
        line[0].set_ylabel(f"{label(name)}\nfinal loss")
    for i, block in enumerate(blocks):
        for column, space in zip(axes[i * len(groups) :][: len(groups)].T, block, strict=False):
            _share_x([*column])
            column[-1].set_xlabel(space.replace(" ", "\n", 1))
    legend(figure, [*axes.flat], size)
    caption = (
        "Does collapse decide search? A point is a trained model, its loss the median over instances. Over each panel "
        "stands Spearman's rank correlation of the means of each model's trainings. Its interval, other outcomes, and "
        "what they can show, are in the tables."
    )
    title = f"Final loss over measures of the latent space: {title}"
    return CaptionedFigure("collapse", figure, title, caption, f"Rank correlations: {'; '.join(descriptions)}.")


def settings(points: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield a title and the checkpoints of each section."""
    if points.empty:
        return
    groups = [group for _, group in points.groupby([*SECTION_KEYS], sort=False, dropna=False)]
    titles = short_titles([group[[*SECTION_KEYS]].iloc[0].to_dict() for group in groups])
    yield from zip(titles, groups, strict=True)


def _share_x(column: Sequence[Any]) -> None:
    """Give the panels of a measure one x axis, with ticks at the lowest."""
    for axis in column[:-1]:
        axis.sharex(column[-1])
        axis.tick_params(labelbottom=False)


def _draw_panel(axis: Any, points: pd.DataFrame, space: str, outcome: str) -> float:
    """Draw the points of a panel, and return their rank correlation."""
    for model, model_points in points.groupby("model", sort=False):
        name = str(model)
        axis.plot(model_points[space], model_points[outcome], marker_of(name), color=colour_of(name), label=label(name))
    pair = [space, outcome]
    rho = correlation(*means_of_models(points.dropna(subset=pair), pair))["estimate"]
    axis.set_title("" if np.isnan(rho) else f"{rho:.2f}")
    axis.margins(0.12)
    return rho
