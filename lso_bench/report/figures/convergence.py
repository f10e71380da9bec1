"""Figures of convergence: lowest loss over evaluations, and share of targets reached."""

from typing import Any, cast

import pandas as pd

from lso_bench.analysis.table import start_order
from lso_bench.plotting.colours import colour_of, marker_of, searcher_looks
from lso_bench.plotting.style import (
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

MARKS = 6  # markers on a line


def curves(
    rows: pd.DataFrame, title: str, size: Size, color: str = "", is_single: bool = False
) -> CaptionedFigure | None:
    """Draw the lowest loss so far over evaluations: a line per searcher and a panel per model, or the reverse.

    Args:
        rows: measures of a section, with those of `lso_bench.analysis.curves.with_curves`.
        color: "searcher" or "model": what has a line of its own; default: searchers, if there are several.
        is_single: whether the task has one instance; then medians are over its starts.
    """
    searchers = rows.searcher_label.unique()
    rows = cast(pd.DataFrame, rows[rows.measure == "curve"])
    lines = rows.groupby(["model", "searcher_label"], sort=False)
    first = lines.start.transform(lambda starts: min(starts, key=start_order))  # random, if a searcher has it
    rows = cast(pd.DataFrame, rows[rows.start == first])
    color = color or ("searcher" if rows.searcher_label.nunique() > 1 else "model")
    line_by, panel_by = ("searcher_label", "model") if color == "searcher" else ("model", "searcher_label")
    groups = [*rows.groupby(panel_by, sort=False)]
    if not groups:
        return None
    figure, axes = panels(size, len(groups), sharex=True)
    names = [str(name) for name in rows[line_by].unique()]
    looks = {n: (colour_of(n), marker_of(n)) for n in names} if color == "model" else searcher_looks(searchers)
    for axis, (name, panel) in zip(axes, groups, strict=True):
        for key, line in panel.groupby(line_by, sort=False):
            colour, marker = looks[str(key)]
            axis.plot(line.within, line.estimate, color=colour, label=label(key), **_marks(marker, len(line)))
        axis.set_title(heading(size, len(groups), name))
        axis.set_xlabel("evaluations")
        logarithmic(axis)
    axes[0].set_ylabel("lowest loss\nso far")
    legend(figure, axes, size)
    last = rows.drop_duplicates(["model", "searcher_label"], keep="last")
    starts = ", ".join(rows.start.unique())
    unit = "starts" if is_single else "instances"
    each = "" if is_single else "Each instance counts once, with the median of its searches. "
    caption = (
        f"Lowest loss within so many evaluations of a problem, from {starts} starts: median over "
        f"{count_range(rows.n, unit)}. {each}No band: {unit} differ more than searchers; see the paired differences."
    )
    return CaptionedFigure("curves", figure, title, caption, values_in_words("Lowest median losses", last, "estimate"))


def _marks(shape: str, points: int) -> dict[str, Any]:
    """Return the settings of about MARKS markers on a line of so many points."""
    return {"marker": shape, "markevery": max(1, points // MARKS)}


def ecdf(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the fraction of (search, target) pairs reached within a number of evaluations.

    A panel per searcher and kind of start, a line per model.
    """
    ecdf_rows = cast(pd.DataFrame, rows[rows.measure == "ecdf"])
    groups = [*ecdf_rows.groupby(["searcher_label", "start"], sort=False)]
    if not groups:
        return None
    several_starts = ecdf_rows.start.nunique() > 1
    figure, axes = panels(size, len(groups), sharex=True)
    for axis, (key, panel) in zip(axes, groups, strict=True):
        searcher, start = cast(tuple[str, str], key)
        names = [searcher, f"from {start}"] if several_starts else [searcher]
        for model, line in panel.groupby("model", sort=False):
            x, y = [*line.within, ecdf_rows.within.max()], [*line.estimate, line.estimate.iloc[-1]]
            marks = _marks(marker_of(str(model)), len(x))
            axis.step(x, y, where="post", color=colour_of(str(model)), label=label(model), **marks)
        axis.set(ylim=(-0.02, 1.02), yticks=(0, 0.5, 1), title=heading(size, len(groups), *names))
        axis.set_xlabel("evaluations")
        logarithmic(axis)
    axes[0].set_ylabel("share of\ntargets reached")
    legend(figure, axes, size)
    last = ecdf_rows.drop_duplicates(["model", "searcher_label", "start"], keep="last")
    caption = (
        f"Share of {count_range(ecdf_rows.n, 'pairs')} of a search and a target loss that are reached within so many "
        f"evaluations of a problem, over all instances, from {' and from '.join(ecdf_rows.start.unique())} starts. "
        "Beyond its budget a line is level."
    )
    return CaptionedFigure(
        "ecdf", figure, title, caption, values_in_words("Shares reached in the end", last, "estimate", "start")
    )
