"""Mean ranks, drawn: which models, and which searchers, cannot be told apart."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from lso_bench.analysis import rank_tests
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import INK, CaptionedFigure, Size, heading, label
from lso_bench.report.figures.words import count_range, values_in_words

NAMES = {"loss": "final loss", "iterations": "steps to"}


def critical_difference(
    rows: pd.DataFrame, title: str, size: Size, blocks: str = "instances"
) -> CaptionedFigure | None:
    """Mean ranks of models (given a searcher) and of searchers (given a model), a panel a comparison; a bar joins those
    that lie within Nemenyi's critical difference (Demsar 2006, section 3.2.2 and figure 1, here from top to bottom).

    None where no comparison has 3 contestants and 10 blocks.
    """
    contests = [*_contests(rows)]
    if not contests:
        return None
    heights = [0.95 + 0.2 * len(own) for _, own in contests]
    figure = Figure(figsize=(size.width, sum(heights)))
    axes = figure.subplots(len(contests), 1, height_ratios=heights, squeeze=False)
    for axis, (name, own) in zip(axes.flat, contests, strict=True):
        _ranks(axis, own)
        axis.set_title(heading(size, 1, name))
    everyone = pd.concat([own for _, own in contests])
    of = f"Mean rank over {count_range(everyone.n)} {blocks}, 1 is best."
    caption = f"{of} A bar joins what cannot be told apart (Nemenyi, 5 %)."
    return CaptionedFigure(
        "ranks", figure, title, caption, values_in_words("Mean ranks", everyone, "estimate", "start")
    )


def _contests(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and contestants, each with its `label`."""
    for factor, outcome in ((f, o) for f in ("model", "searcher") for o in NAMES):
        context = [*(c for c in GROUP_KEYS if c != factor), "start"]
        ranked = rows[rows.measure == f"{factor} rank:{outcome}"]
        for _, own in ranked.groupby(context, sort=False, dropna=False):
            first = own.iloc[0]
            if len(own) >= rank_tests.CONTESTANTS and first.n >= rank_tests.BLOCKS:
                what = NAMES[outcome] + (f" {first.threshold:g}" if outcome == "iterations" else "")
                given, names = (
                    (first.searcher_label, own.model) if factor == "model" else (first.model, own.searcher_label)
                )
                yield f"{what}; {given}; from {first.start}; n = {first.n:g}", own.assign(label=names)


def _ranks(axis: Any, own: pd.DataFrame) -> None:
    """The best on top; the bars to the right."""
    k = len(own)
    reach = rank_tests.critical_difference(k, int(own.n.iloc[0]))
    for i, (mean, model) in enumerate(zip(own.estimate, own.model, strict=True)):
        axis.plot(mean, i, marker_of(model), color=colour_of(model), markersize=5)
    bars = rank_tests.nonsignificant_groups(own.estimate.to_numpy(), reach)
    for place, (first, last) in enumerate(bars):
        x = k + 0.25 + 0.15 * place
        axis.plot([x, x], [first - 0.2, last + 0.2], color=INK, linewidth=3, alpha=0.6, solid_capstyle="butt")
    axis.errorbar(1 + reach / 2, -1, xerr=reach / 2, color=INK, capsize=2, linewidth=0.8)
    axis.text(1 + reach + 0.05, -1, f"critical difference {reach:.2f}", va="center")
    axis.set_yticks(range(k), [label(name) for name in own.label])
    axis.set(xlim=(0.9, k + 0.3 + 0.15 * len(bars)), ylim=(k - 0.4, -1.6), xticks=range(1, k + 1))
    axis.grid(axis="x")
