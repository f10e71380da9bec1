"""Figures of the dependence on the start: distance of latents, spread of the final loss, rate of shared basins."""

from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lso_bench.analysis.start_sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.plotting.colours import colour_of, marker_of
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
from lso_bench.run_settings import PRIOR

SMALLEST = 1e-9  # value that is drawn: no difference has no place on a logarithmic axis
IN_COORDINATES = " Distances are those of the coordinates of the search: z in space prior, u in the others."


def distance(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the squared distance of the latents of two starts against the stopping threshold.

    A line per model, a panel per searcher and kind of pair. None if no threshold was met.
    """
    met = cast(pd.DataFrame, rows[(rows.measure == "distance") & (rows["median"].notna() | rows.threshold.isna())])
    groups = [(k, g) for k, g in met.groupby(["searcher_label", "start"], sort=False) if g.threshold.notna().any()]
    if not groups:
        return None
    limits = [*sorted(met.threshold.dropna().unique(), reverse=True)]
    figure, axes = panels(size, len(groups))
    for axis, (key, pair_rows) in zip(axes, groups, strict=True):
        searcher, kind = cast(tuple[str, str], key)
        for model, line in pair_rows.groupby("model", sort=False):
            _distances(axis, str(model), line, limits)
        axis.set(yscale="log", title=heading(size, len(groups), searcher, kind), xlabel="stopping threshold")
        axis.minorticks_off()
        axis.set_xticks(range(len(limits) + 1), [*(f"{t:g}" for t in limits), "end"])
        axis.tick_params(axis="x", rotation=30)
    axes[0].set_ylabel("squared distance\nof the latents")
    legend(figure, axes, size)
    ends = cast(pd.DataFrame, met[met.threshold.isna()])
    caption = (
        f"Squared distance of the latents that two starts of an instance lead to, over the stopping threshold: median "
        f"and quartiles of the pairs that met it; end: of all {count_range(ends.n, 'pairs')}."
        f"{_at_smallest(met)}{_in_coordinates(rows)}"
    )
    return CaptionedFigure(
        "distance", figure, title, caption, values_in_words("Medians at the end", ends, "median", "start")
    )


def _distances(axis: Any, model: str, line: pd.DataFrame, limits: list[float]) -> None:
    """Draw a line with gaps where no pair met a threshold; the end, of all pairs, stands apart."""
    at, values = line.threshold.to_numpy(), line[["q25", "median", "q75"]].to_numpy().clip(min=SMALLEST)
    low, middle, high = np.array([values[at == t][0] if t in at else [np.nan] * 3 for t in limits]).T
    colour, marker, x = colour_of(model), marker_of(model), np.arange(len(limits))
    axis.plot(x, middle, "-", marker=marker, color=colour, label=label(model))
    axis.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
    for q25, median, q75 in values[np.isnan(at)]:
        reach = [[median - q25], [q75 - median]]
        axis.errorbar(len(limits), median, reach, fmt=marker, capsize=2, color=colour, elinewidth=0.8)


def spread(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the standard deviation of the final loss over the starts of an instance: median and quartiles."""
    spreads = cast(pd.DataFrame, rows[(rows.measure == "spread") & rows["median"].notna()])
    spreads = spreads.drop_duplicates(["model", "searcher_label"])
    if spreads.empty:
        return None
    ranges = spreads[["median", "q25", "q75"]].clip(lower=SMALLEST).set_axis(["at", "low", "high"], axis=1)
    figure, axis = _ranges(spreads[["model"]].join(ranges).assign(row_label=spreads.searcher_label), size)
    axis.set_xlabel("standard deviation of the final loss over starts", loc="right")
    logarithmic(axis)
    starts = ", ".join(dict.fromkeys(", ".join(spreads.start).split(", ")))
    caption = (
        f"Standard deviation of the final loss over the starts of an instance ({starts}): median and quartiles over "
        f"{count_range(spreads.n, 'instances')} and trained models.{_at_smallest(spreads)}"
    )
    return CaptionedFigure("spread", figure, title, caption, values_in_words("Medians", spreads, "median"))


def basin(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the fraction of pairs of starts that end in the same basin, with its 95 % interval over instances."""
    basins = cast(pd.DataFrame, rows[(rows.measure == "basin") & rows.estimate.notna()])
    if basins.empty:
        return None
    row_label = basins.searcher_label + ", " + basins.start if basins.start.nunique() > 1 else basins.searcher_label
    low, high = (100 * basins[c].fillna(basins.estimate) for c in ("low", "high"))
    figure, axis = _ranges(basins.assign(row_label=row_label, at=100 * basins.estimate, low=low, high=high), size)
    axis.set_xlim(-2, 102)
    axis.set_xlabel("pairs of starts in the same basin, %", loc="right")
    caption = (
        f"Share of {count_range(basins.n, 'pairs')} of starts ({', '.join(dict.fromkeys(basins.start))}) that end in "
        f"the same basin: squared distance of the latents at most {BASIN_DISTANCE:g} d, losses within {BASIN_GAP:.0%}. "
        f"95 % intervals over instances.{_in_coordinates(rows)}"
    )
    return CaptionedFigure("basin", figure, title, caption, values_in_words("Shares", basins, "estimate", "start"))


def _in_coordinates(rows: pd.DataFrame) -> str:
    """Return the sentence that says in which coordinates distances are; empty if all are in z."""
    return IN_COORDINATES * bool((rows.space != PRIOR).any())


def _at_smallest(rows: pd.DataFrame) -> str:
    """Return the sentence that says where values below SMALLEST are drawn; empty if there are none."""
    values = rows[["q25", "median", "q75"]].to_numpy(float)
    return f" What is smaller than {SMALLEST:g} is drawn there." * bool((values < SMALLEST).any())


def _ranges(rows: pd.DataFrame, size: Size) -> tuple[Figure, Any]:
    """Draw `at` with a bar from `low` to `high` for each model, in the row of its `row_label`."""
    row_labels, models = [*rows.row_label.unique()], [*rows.model.unique()]
    figure, (axis,) = panels(size, 1, height=0.7 + 0.16 * len(rows) + 0.1 * len(row_labels))
    for i, model in enumerate(models):
        model_rows = cast(pd.DataFrame, rows[rows.model == model])
        y = np.array([row_labels.index(text) for text in model_rows.row_label]) + dodge_offset(i, len(models))
        at, low, high = (model_rows[c].to_numpy(float) for c in ("at", "low", "high"))
        marks: dict[str, Any] = {"fmt": marker_of(model), "capsize": 2, "color": colour_of(model), "elinewidth": 0.8}
        axis.errorbar(at, y, xerr=[at - low, high - at], label=label(model), **marks)
    axis.set_ylim(len(row_labels) - 0.5, -0.5)
    axis.set_yticks(range(len(row_labels)), [label(text) for text in row_labels])
    axis.grid(axis="x")
    legend(figure, [axis], size)
    return figure, axis


def dodge_offset(i: int, n: int) -> float:
    """Return the offset of the i-th of n points in a row of width 1."""
    return (i - (n - 1) / 2) * 0.7 / n
