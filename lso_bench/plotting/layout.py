"""Layout of figures: margins that fit the text of the panels, measured once."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

PAD = 0.045  # inches around a panel with its text


class FittedMargins(LayoutEngine):
    """Places the panels of a grid so that their text, the legend below and the heading above fit.

    Columns are equally wide, and rows have the height ratios of the grid. Matplotlib's constrained layout measures all
    text twice, which took a third of the time of drawing a page (9 of 26 s in a profile of results/reference).
    """

    _adjust_compatible = True
    _colorbar_gridspec = False

    def execute(self, fig: Figure) -> None:
        """Place the panels; a figure without a grid stays as it is."""
        axes = [axis for axis in fig.axes if axis.get_subplotspec()]
        if not axes:
            return
        (width, height), pad = map(float, fig.bbox.size), PAD * fig.dpi
        renderer = RendererAgg(width, height, fig.dpi)
        places: list[Any] = [axis.get_subplotspec() for axis in axes]
        text = np.array([_text_sizes(axis, renderer) for axis in axes])
        head = _heading_height(fig, renderer, pad)
        foot = sum(legend.get_window_extent(renderer).height for legend in fig.legends)
        columns, rows = (np.array([getattr(p, k).start for p in places]) for k in ("colspan", "rowspan"))
        grid = places[0].get_gridspec()
        x, w = _spans(width, columns, text[:, :2], np.ones(grid.ncols), pad)
        y, h = _spans(height - head - foot, rows, text[:, 2:], np.array(grid.get_height_ratios(), float), pad)
        for i, axis in enumerate(axes):
            axis.set_position((x[i] / width, 1 - (head + y[i] + h[i]) / height, w[i] / width, h[i] / height))


def lay_out(figure: Figure) -> None:
    """Fix the layout: a figure with a layout engine is drawn twice when it is saved."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)  # matplotlib's setting: none


def _text_sizes(axis: Any, renderer: RendererAgg) -> list[float]:
    """Return the pixels that the text of a panel takes on the left, right, top and bottom."""
    panel = axis.get_window_extent(renderer)
    box = axis.get_tightbbox(renderer, for_layout_only=True) or panel  # None: not visible
    return [panel.x0 - box.x0, box.x1 - panel.x1, box.y1 - panel.y1, panel.y0 - box.y0]


def _heading_height(figure: Figure, renderer: RendererAgg, pad: float) -> float:
    """Move the heading of a figure to its top, and return the pixels that it takes."""
    if (heading := figure._suptitle) is None:  # pyright: ignore[reportAttributeAccessIssue]
        return 0.0
    heading.set_y(1 - pad / figure.bbox.height)
    return pad + heading.get_window_extent(renderer).height


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
