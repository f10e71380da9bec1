"""Figures of convergence: loss over steps, and fraction of targets reached."""

from itertools import cycle
from typing import Any, cast

import pandas as pd
from matplotlib.lines import Line2D

from lso_bench.plotting.colours import MARKERS, SEARCHER_COLOURS, colour_of, marker_of
from lso_bench.plotting.style import (
    INK,
    CaptionedFigure,
    Size,
    count_range,
    heading,
    label,
    legend,
    logarithmic,
    panels,
    values_in_words,
)

STYLES = ("-", "--", ":", "-.")  # line styles of starts
MARKS = 6  # markers on a line


def curves(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the median loss over steps with its 95 % interval: a panel per searcher, a line per model and start."""
    curve_rows = cast(pd.DataFrame, rows[rows.measure == "curve"])
    groups = [*curve_rows.groupby("searcher_label", sort=False)]
    if not groups:
        return None
    figure, axes = panels(size, len(groups))
    styles = dict(zip(curve_rows.start.unique(), STYLES * len(curve_rows), strict=False))
    for axis, (searcher, panel) in zip(axes, groups, strict=True):
        for key, line in panel.groupby(["model", "start"], sort=False):
            model, start = cast(tuple[str, str], key)
            _curve(axis, model, styles[start], line)
        axis.set_title(heading(size, len(groups), searcher))
        logarithmic(axis, "step")
    axes[0].set_ylabel("loss (minus the score)")
    starts = {f"from {label(s)}": Line2D([], [], color=INK, linestyle=style) for s, style in styles.items()}
    legend(figure, axes, size, starts if len(styles) > 1 else None)
    last = curve_rows.drop_duplicates(["model", "searcher_label", "start"], keep="last")
    caption = (
        f"Loss over steps: median over {count_range(curve_rows.n)} targets, each the median of its runs; band: its 95 "
        f"% interval, from {curve_rows.start.iloc[0]} starts. A search that has ended keeps its last loss."
    )
    return CaptionedFigure(
        "curves", figure, title, caption, values_in_words("Last median losses", last, "estimate", "start")
    )


def _curve(axis: Any, model: str, style: str, line: pd.DataFrame) -> None:
    colour, x = colour_of(model), line.within
    marks = _marks(marker_of(model), len(line))
    name = label(model) if style == STYLES[0] else None
    axis.plot(x, line.estimate, style, color=colour, label=name, **marks)
    if style == STYLES[0]:
        axis.fill_between(x, line.low, line.high, color=colour, alpha=0.13, linewidth=0)


def _marks(shape: str, points: int) -> dict[str, Any]:
    """Return the settings of about MARKS markers on a line of so many points."""
    return {"marker": shape, "markevery": max(1, points // MARKS)}


def ecdf(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the fraction of (search, target) pairs reached within a number of evaluations.

    A panel per searcher, a line per model.
    """
    ecdf_rows = cast(pd.DataFrame, rows[rows.measure == "ecdf"])
    groups = [*ecdf_rows.groupby("searcher_label", sort=False)]
    if not groups:
        return None
    figure, axes = panels(size, len(groups), sharex=True)
    for axis, (searcher, panel) in zip(axes, groups, strict=True):
        for model, line in panel.groupby("model", sort=False):
            x, y = [*line.within, ecdf_rows.within.max()], [*line.estimate, line.estimate.iloc[-1]]
            marks = _marks(marker_of(str(model)), len(x))
            axis.step(x, y, where="post", color=colour_of(str(model)), label=label(model), **marks)
        axis.set(ylim=(-0.02, 1.02), title=heading(size, len(groups), searcher))
        logarithmic(axis, "evaluations")
    axes[0].set_ylabel("share of targets reached")
    legend(figure, axes, size)
    last = ecdf_rows.drop_duplicates(["model", "searcher_label"], keep="last")
    caption = (
        f"Share of {count_range(ecdf_rows.n)} pairs of a search and a target loss that are reached within so many "
        "evaluations of a problem, over all instances and starts. Beyond its budget a line is level."
    )
    return CaptionedFigure(
        "ecdf", figure, title, caption, values_in_words("Shares reached in the end", last, "estimate")
    )


def best_so_far(rows: pd.DataFrame, title: str, size: Size, color: str = "searcher") -> CaptionedFigure | None:
    """Draw the lowest loss so far over evaluations: a line per searcher and a panel per model, or the reverse.

    Args:
        rows: points of curves, of `lso_bench.analysis.curves.best_so_far`, with `searcher_label`.
        color: "searcher" or "model": what has a line of its own.
    """
    line_by, panel_by = ("searcher_label", "model") if color == "searcher" else ("model", "searcher_label")
    groups = [*rows.groupby(panel_by, sort=False)]
    if not groups:
        return None
    figure, axes = panels(size, len(groups), sharex=True)
    names = [str(name) for name in rows[line_by].unique()]
    searcher_colours = cycle(SEARCHER_COLOURS)
    colours = {n: colour_of(n) if color == "model" else next(searcher_colours) for n in names}
    searcher_shapes = cycle(MARKERS)
    shapes = {n: marker_of(n) if color == "model" else next(searcher_shapes) for n in names}
    for axis, (name, panel) in zip(axes, groups, strict=True):
        for key, line in panel.groupby(line_by, sort=False):
            marks = _marks(shapes[str(key)], len(line))
            axis.plot(line.within, line.estimate, color=colours[str(key)], label=label(key), **marks)
        axis.set_title(heading(size, len(groups), name))
        logarithmic(axis, "evaluations")
    axes[0].set_ylabel("lowest loss so far")
    legend(figure, axes, size)
    last = rows.drop_duplicates(["model", "searcher_label"], keep="last")
    caption = (
        f"Lowest loss within so many evaluations of a problem: median over {count_range(rows.n)} instances, from "
        f"{rows.start.iloc[0]} starts. No band: instances differ more than searchers; see the paired differences."
    )
    return CaptionedFigure("best", figure, title, caption, values_in_words("Lowest median losses", last, "estimate"))
