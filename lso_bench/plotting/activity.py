"""Figure of the activity of each latent dimension."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import INK, CaptionedFigure, Size, blank, heading, label

ACTIVE = 0.01  # Burda et al. 2016
FROM, TO = 1e-4, 2.0  # activities that are shown at least; in a model with a standard normal prior few lie beyond
Bars = Sequence[tuple[str, Sequence[float]]]  # model names, each with the activity of its dimensions


def activity(models: Bars, title: str, size: Size) -> CaptionedFigure:
    """Draw the activity of each latent dimension, most active first, one panel per model.

    Activity is the variance of the posterior mean over the test samples. The last panel shows how many dimensions are
    above each threshold.
    """
    summaries = [(name, f"{_active(v)} of {len(v)}") for name, v in models]
    panel_titles = [heading(size, len(models) + 1, *lines) for lines in summaries]
    columns = min(size.columns, len(models) + 1)
    rows = -(-(len(models) + 1) // columns)
    figure = blank(size.width, 1.5 * size.height_factor * rows + 0.3)
    axes = figure.subplots(rows, columns, squeeze=False)
    limits = _limits(models)
    for axis, (name, values), panel_title in zip(axes.flat, models, panel_titles, strict=False):
        ordered = np.sort(np.asarray(values))[::-1]
        axis.bar(range(1, len(ordered) + 1), ordered, color=colour_of(name), linewidth=0)
        axis.axhline(ACTIVE, color=INK, linewidth=0.6, linestyle="--", alpha=0.6)
        axis.set(yscale="log", ylim=limits, title=panel_title)
        axis.minorticks_off()
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes[:, 0]:
        axis.set_ylabel("activity")
    axes.flat[len(models) - 1].set_xlabel("latent dimension,\nby activity")
    _counts(axes.flat[len(models)], models, limits)
    for axis in axes.flat[len(models) + 1 :]:
        axis.set_visible(False)
    caption = (
        "Activity of each latent dimension, the variance of its posterior mean over the test samples, most active "
        f"first; in the titles how many are above {ACTIVE} (dashed). Last panel: how many are above each threshold."
    )
    numbers = "; ".join(label(f"{name}: {active}") for name, active in summaries)
    return CaptionedFigure("activity", figure, title, caption, f"Active dimensions: {numbers}.")


def _limits(models: Bars) -> tuple[float, float]:
    """Return the range of activities: FROM to TO, or further where the most active dimension of a model lies beyond."""
    largest = [top for _, values in models if (top := max(values, default=0)) > 0]
    return min([FROM, *(0.1 * top for top in largest)]), max([TO, *(1.5 * top for top in largest)])


def _counts(axis, models: Bars, limits: tuple[float, float]) -> None:
    for name, values in models:
        thresholds = np.geomspace(*limits, 60)
        count = (np.asarray(values)[None] > thresholds[:, None]).sum(1)
        axis.step(thresholds, count, color=colour_of(name), marker=marker_of(name), markevery=12)
    axis.set(xscale="log", xlabel="threshold of activity", ylabel="dimensions\nabove")
    axis.minorticks_off()


def _active(values: Sequence[float]) -> int:
    return sum(v > ACTIVE for v in values)
