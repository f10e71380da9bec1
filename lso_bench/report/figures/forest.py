"""Forest plot: paired differences to the best model or searcher, with their 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd

from lso_bench.analysis.paired import WITHIN
from lso_bench.analysis.rank_tests import BLOCKS
from lso_bench.plotting.colours import colour_of, marker_of, searcher_looks
from lso_bench.plotting.numbers import in_words
from lso_bench.plotting.style import INK, CaptionedFigure, Size, blank, count_range, label
from lso_bench.report.contests import Contest

ROW = 0.18  # inches of a row
LEFT, RIGHT = "<", ">"  # markers of a difference, or of an end of its interval, that is infinite


def forest(
    contests: Sequence[Contest], factor: str, title: str, size: Size, left_out: Mapping[str, str] = MappingProxyType({})
) -> CaptionedFigure | None:
    """Draw the difference of each contestant to the best one of its contest, the better ones above.

    Args:
        contests: of one factor, from one kind of start.
        factor: "model" or "searcher".
        left_out: those that are not compared, each with the reason.
    """
    rows = [(c, name) for c in contests for name in c.names]
    if not rows:
        return None
    figure = blank(size.width, ROW * (len(rows) + 1.7 * len(contests)) + 0.8)
    axis = figure.subplots()
    axis.axvline(0, color=INK, linewidth=0.6)
    edges = _edges([x for contest, name in rows for x in _bounds(contest, name)])
    contestants = sorted({name for _, name in rows})
    looks = searcher_looks({*contestants, *left_out})
    if factor == "model":
        looks = {name: (colour_of(name), marker_of(name)) for name in contestants}
    places, names, y = [], [], 0.0
    for contest in contests:
        if len(contests) > 1:
            places.append(y)
            names.append(label(f"{WITHIN[factor]} {contest.context}:"))
            y += 1
        for name in contest.names:
            colour, marker = looks[name]
            fill = colour if name in contest.worse or name == contest.best else "white"
            _draw_difference(axis, y, _bounds(contest, name), edges, color=colour, marker=marker, fill=fill)
            places.append(y)
            names.append(label(name))
            y += 1
        y += 0.7
    axis.set_yticks(places, names)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(y - 0.2, -0.8)  # the first one on top
    axis.set_xlabel(f"final loss less that of the best {factor},\nmedian over {contests[0].unit}", loc="right")
    axis.grid(axis="x")
    return CaptionedFigure(f"forest-{factor}s", figure, title, _caption(contests, factor, left_out), _words(contests))


def _bounds(contest: Contest, name: str) -> tuple[float, float, float]:
    """Return lower end, estimate and upper end of a difference to the best; an undefined end is the estimate."""
    row = contest.differences.get(name, {"estimate": 0.0, "low": 0.0, "high": 0.0})
    at = float(row["estimate"])
    low, high = (at if math.isnan(row[end]) else float(row[end]) for end in ("low", "high"))
    return low, at, high


def _edges(values: Sequence[float]) -> tuple[float, float]:
    """Return where arrows end: as far beyond the finite values as a tenth of what is drawn."""
    finite = [x for x in values if math.isfinite(x)]
    room = 0.1 * (max(finite) - min(finite) or 1.0)
    return min(finite) - room, max(finite) + room


def _draw_difference(
    axis: Any,
    y: float,
    bounds: tuple[float, float, float],
    edges: tuple[float, float],
    color: str,
    marker: str,
    fill: str,
) -> None:
    """Draw a point and its interval; of what is infinite an arrow at the edge of the axis."""
    low, at, high = (min(max(x, edges[0]), edges[1]) for x in bounds)
    axis.plot([low, high], [y, y], color=color)
    for arrow, is_open in ((LEFT, min(bounds) < edges[0]), (RIGHT, max(bounds) > edges[1])):
        if is_open:
            axis.plot(low if arrow == LEFT else high, y, arrow, color=color)
    if edges[0] < at < edges[1]:
        axis.plot(at, y, marker, color=color, markerfacecolor=fill)


def _caption(contests: Sequence[Contest], factor: str, left_out: Mapping[str, str]) -> str:
    """Return what is drawn, of how many blocks, what a hollow point means, and who is not compared."""
    absent = ", ".join(f"{label(name)} ({why})" for name, why in left_out.items())
    blocks = count_range(pd.Series([c.n for c in contests]), contests[0].unit)
    bounds = [_bounds(c, name) for c in contests for name in c.names]
    is_open, is_lost = (any(math.isinf(b[i]) for b in bounds for i in ends) for ends in ((0, 2), (1,)))
    return (
        f"Paired difference of the final loss to the {factor} with the best mean rank ({blocks}, from "
        f"{contests[0].start} starts), with its 95 % interval. "
        f"Hollow: not significantly worse (Wilcoxon's test with Holm's correction), or not tested: under {BLOCKS} "
        f"{contests[0].unit}."
        + " Arrow: the interval has no end on this side, for searches were lost." * is_open
        + f" Arrow without a point: lost on half of the {contests[0].unit} or more." * is_lost
        + f" Not compared: {absent}." * bool(absent)
    )


def _words(contests: Sequence[Contest]) -> str:
    """Return the differences as a sentence."""
    texts = [
        f"{label(c.context)}, {label(name)} to {label(c.names[0])}: {in_words(c.differences[name]['estimate'])}"
        for c in contests
        for name in c.names[1:]
    ]
    return f"Differences to the best: {'; '.join(texts)}."
