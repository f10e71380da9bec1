"""Where the variance of the final loss comes from, drawn."""

from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis.variance import START_AND_SEARCH_SEED
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import CaptionedFigure, Size, heading, label, legend, panels
from lso_bench.report.figures.start_sensitivity import dodge_offset
from lso_bench.report.figures.words import values_in_words

FACTORS = ("train seed", "target", "start", "search seed", START_AND_SEARCH_SEED)


def variance(rows: pd.DataFrame, title: str, size: Size) -> CaptionedFigure | None:
    """Where the variance of the final loss comes from: the roots of its parts, with 95 % intervals; a panel a searcher
    that has two factors or more, if any has.

    Points, no bars: factors differ by powers of ten, and on a logarithmic axis a bar's length says nothing.
    """
    factors = [f for f in FACTORS if (rows.loc[rows.measure == f"variance:{f}", "estimate"] > 0).any()]
    own = cast(pd.DataFrame, rows[rows.measure.isin([f"variance:{f}" for f in factors]) & (rows.estimate > 0)])
    if own.empty:
        return None
    telling = own[own.groupby("searcher_label").measure.transform("nunique") > 1]
    own = cast(pd.DataFrame, own if telling.empty else telling)
    groups, models = [*own.groupby("searcher_label", sort=False)], [*own.model.unique()]
    figure, axes = panels(size, len(groups), height=0.7 + 0.1 * len(factors) * (2 + len(models)), sharex=True)
    for axis, (how, panel) in zip(axes, groups, strict=True):
        for i, model in enumerate(models):
            mine = cast(pd.DataFrame, panel[panel.model == model])
            _roots(
                axis,
                model,
                mine,
                [factors.index(m.partition(":")[2]) + dodge_offset(i, len(models)) for m in mine.measure],
            )
        axis.set(
            xscale="log",
            ylim=(len(factors) - 0.5, -0.5),
            title=heading(size, len(groups), how),
            xlabel="root of the variance",
        )
        axis.set_yticks(range(len(factors)), [f.replace(" and ", "\nand ") for f in factors])
        axis.grid(axis="x")
    legend(figure, axes, size)
    caption = (
        "Root of the variance of the final loss when the training seed, the start or the search seed changes alone, "
        "and of what the searches of a target have in common, with its 95 % interval over instances; in units of the "
        "loss. A factor of one level has no point, training seeds no interval."
    )
    roots = own.assign(root=np.sqrt(own.estimate), factor=own.measure.str.partition(":")[2])
    return CaptionedFigure("variance", figure, title, caption, values_in_words("Roots", roots, "root", "factor"))


def _roots(axis: Any, model: str, mine: pd.DataFrame, y: list[float]) -> None:
    if mine.empty:
        return
    middle, low, high = (np.sqrt(cast(pd.Series, mine[c]).clip(lower=0)) for c in ("estimate", "low", "high"))
    reach = np.nan_to_num([np.maximum(middle - low, 0), np.maximum(high - middle, 0)])
    marks: dict[str, Any] = {"fmt": marker_of(model), "capsize": 2, "color": colour_of(model), "elinewidth": 0.8}
    axis.errorbar(middle, y, xerr=reach, label=label(model), **marks)
