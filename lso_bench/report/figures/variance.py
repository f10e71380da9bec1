"""Figure of the variance of the final loss by factor."""

from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis.variance import FACTORS
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import CaptionedFigure, Size, heading, label, legend, logarithmic, panels, values_in_words
from lso_bench.report.figures.start_sensitivity import dodge_offset


def variance(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Draw the root of each factor's variance of the final loss, with 95 % intervals; a panel per searcher.

    Searchers with a single factor are left out if another has more. Points are drawn, not bars: factors differ by
    powers of ten, and the length of a bar means nothing on a logarithmic axis.
    """
    factors = [f for f in FACTORS if (rows.loc[rows.measure == f"variance:{f}", "estimate"] > 0).any()]
    variance_rows = cast(
        pd.DataFrame, rows[rows.measure.isin([f"variance:{f}" for f in factors]) & (rows.estimate > 0)]
    )
    if variance_rows.empty:
        return None
    several_factors = variance_rows[variance_rows.groupby("searcher_label").measure.transform("nunique") > 1]
    variance_rows = cast(pd.DataFrame, variance_rows if several_factors.empty else several_factors)
    groups, models = [*variance_rows.groupby("searcher_label", sort=False)], [*variance_rows.model.unique()]
    figure, axes = panels(size, len(groups), height=0.7 + 0.1 * len(factors) * (2 + len(models)), sharex=True)
    for axis, (searcher, panel) in zip(axes, groups, strict=True):
        for i, model in enumerate(models):
            model_rows = cast(pd.DataFrame, panel[panel.model == model])
            _draw_roots(
                axis,
                model,
                model_rows,
                [factors.index(m.partition(":")[2]) + dodge_offset(i, len(models)) for m in model_rows.measure],
            )
        axis.set(ylim=(len(factors) - 0.5, -0.5), title=heading(size, len(groups), searcher))
        axis.set_xlabel("root of the variance")
        logarithmic(axis)
        axis.set_yticks(range(len(factors)), [f.replace(" and ", "\nand ") for f in factors])
        axis.grid(axis="x")
    legend(figure, axes, size)
    caption = (
        "Root of the variance of the final loss when the training seed, the start or the search seed changes alone, "
        "and of what the searches of a target have in common, with its 95 % interval over instances; in units of the "
        "loss. A factor of one level has no point, training seeds no interval."
    )
    roots = variance_rows.assign(
        root=np.sqrt(variance_rows.estimate), factor=variance_rows.measure.str.partition(":")[2]
    )
    return CaptionedFigure("variance", figure, title, caption, values_in_words("Roots", roots, "root", "factor"))


def _draw_roots(axis: Any, model: str, model_rows: pd.DataFrame, y: list[float]) -> None:
    if model_rows.empty:
        return
    middle, low, high = (np.sqrt(cast(pd.Series, model_rows[c]).clip(lower=0)) for c in ("estimate", "low", "high"))
    reach = np.nan_to_num([np.maximum(middle - low, 0), np.maximum(high - middle, 0)])
    marks: dict[str, Any] = {"fmt": marker_of(model), "capsize": 2, "color": colour_of(model), "elinewidth": 0.8}
    axis.errorbar(middle, y, xerr=reach, label=label(model), **marks)
