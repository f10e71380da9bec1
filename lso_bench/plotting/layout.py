"""Layout of figures: margins that fit the text of the panels, measured once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

PAD = 0.045  # inches around a panel with its text
LOWEST = 0.5  # inches of a panel, at least
LEGEND = 0.3  # inches that a figure has for its legend; for a higher one it grows


class FittedMargins(LayoutEngine):
    """Places the panels of a grid so that their text, the legend below and the heading above fit.

    Columns are equally wide, and rows have the height ratios of the grid. Matplotlib's constrained layout measures all
    text twice, which took a third of the time of drawing a page (9 of 26 s in a profile of results/reference).
    """

    _adjust_compatible = True
    _colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Place the panels; a figure without a grid stays as it is."""
        if axes := _in_grid(fig):
            _place(fig, axes, _measured(fig, axes))


def lay_out(figure: Figure) -> None:
    """Fix the layout, at a height that suffices: a figure with a layout engine is drawn twice when it is saved."""
    if not figure.get_layout_engine():
        return
    if axes := _in_grid(figure):
        sizes = _measured(figure, axes)
        _enlarge(figure, axes, sizes)
        _place(figure, axes, sizes)
    figure.set_layout_engine(None)  # matplotlib's setting: none


def enlarge(figure: Figure) -> None:
    """Enlarge a figure until each panel is as high as its y label, and a long legend takes nothing from the panels."""
    if axes := _in_grid(figure):
        _enlarge(figure, axes, _measured(figure, axes))


@dataclass(frozen=True)
class Sizes:
    """Pixels that the parts of a figure take; they do not depend on its height."""

    text: Float[np.ndarray, "n 4"]  # of each panel: left, right, top, bottom
    y_labels: Float[np.ndarray, " n"]  # height of each panel's y label
    head: float
    foot: float
    columns: Int[np.ndarray, " n"]  # of each panel
    rows: Int[np.ndarray, " n"]


def _in_grid(figure: Figure) -> list[Any]:
    return [axis for axis in figure.axes if axis.get_subplotspec()]


def _measured(figure: Figure, axes: list[Any]) -> Sizes:
    width, height = map(float, figure.bbox.size)
    renderer = RendererAgg(width, height, figure.dpi)
    places = [axis.get_subplotspec() for axis in axes]
    columns, rows = (np.array([getattr(p, k).start for p in places]) for k in ("colspan", "rowspan"))
    return Sizes(
        np.array([_text_sizes(axis, renderer) for axis in axes]),
        np.array([axis.yaxis.label.get_window_extent(renderer).height for axis in axes]),
        _heading_height(figure, renderer, PAD * figure.dpi),
        float(sum(legend.get_window_extent(renderer).height for legend in figure.legends)),
        columns,
        rows,
    )


def _enlarge(figure: Figure, axes: list[Any], sizes: Sizes) -> None:
    dpi = figure.dpi
    ratios = np.array(axes[0].get_subplotspec().get_gridspec().get_height_ratios(), float)
    lowest = np.maximum(LOWEST * dpi, sizes.y_labels) / ratios[sizes.rows]
    panels = lowest.max() * ratios.sum()
    text = sum(sizes.text[sizes.rows == i, 2:].max(axis=0).sum() + 2 * PAD * dpi for i in range(len(ratios)))
    legend = max(0.0, sizes.foot - LEGEND * dpi)
    height = max(figure.bbox.height + legend, sizes.head + text + panels + sizes.foot)
    figure.set_size_inches(figure.get_figwidth(), height / dpi)


def _place(figure: Figure, axes: list[Any], sizes: Sizes) -> None:
    (width, height), pad = map(float, figure.bbox.size), PAD * figure.dpi
    grid = axes[0].get_subplotspec().get_gridspec()
    x, w = _spans(width, sizes.columns, sizes.text[:, :2], np.ones(grid.ncols), pad)
    ratios = np.array(grid.get_height_ratios(), float)
    y, h = _spans(height - sizes.head - sizes.foot, sizes.rows, sizes.text[:, 2:], ratios, pad)
    if heading := figure._suptitle:  # pyright: ignore[reportAttributeAccessIssue]
        heading.set_y(1 - pad / height)
    for i, axis in enumerate(axes):
        axis.set_position((x[i] / width, 1 - (sizes.head + y[i] + h[i]) / height, w[i] / width, h[i] / height))


def _text_sizes(axis: Any, renderer: RendererAgg) -> list[float]:
    """Return the pixels that the text of a panel takes on the left, right, top and bottom."""
    panel = axis.get_window_extent(renderer)
    box = axis.get_tightbbox(renderer, for_layout_only=True) or panel  # None: not visible
    return [panel.x0 - box.x0, box.x1 - panel.x1, box.y1 - panel.y1, panel.y0 - box.y0]


def _heading_height(figure: Figure, renderer: RendererAgg, pad: float) -> float:
    """Return the pixels that the heading of a figure takes."""
    heading = figure._suptitle  # pyright: ignore[reportAttributeAccessIssue]
    return 0.0 if heading is None else pad + heading.get_window_extent(renderer).height


def _spans(
    length: float,
    cells: Int[np.ndarray, " n"],
    text: Float[np.ndarray, "n 2"],
    ratios: Float[np.ndarray, " c"],
    pad: float,
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Return start and length of each panel along an axis of the figure.

    Args:
        length: pixels for all cells.
        cells: column or row of each panel.
        text: pixels of its text before and after it.
        ratios: of the lengths of the panels, by cell.
    """
    before, after = np.array([text[cells == i].max(axis=0) for i in range(len(ratios))]).T + pad
    free = max(length - (before + after).sum(), len(ratios))
    lengths = free * ratios / ratios.sum()
    starts = np.cumsum(before + lengths + after) - lengths - after
    return starts[cells], lengths[cells]
