"""Figure of mean ranks: models, and searchers, that do not differ significantly."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lso_bench.analysis import rank_tests
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.plotting.colours import colour_of, marker_of
from lso_bench.plotting.style import INK, CaptionedFigure, Size, blank, count_range, heading, label, values_in_words

NAMES = {"loss": "final loss", "iterations": "steps to"}


def critical_difference(
    rows: pd.DataFrame, title: str, size: Size, blocks: str = "instances"
) -> CaptionedFigure | None:
    """Draw mean ranks of models (for a searcher) and of searchers (for a model), a panel per comparison.

    A bar joins contestants within Nemenyi's critical difference (Demsar 2006, section 3.2.2 and figure 1, here from top
    to bottom). None if no comparison has 3 contestants and 10 blocks.
    """
    contests = [*_contests(rows)]
    if not contests:
        return None
    heights = [0.95 + 0.2 * len(ranked) for _, ranked in contests]
    figure = blank(size.width, sum(heights))
    axes = figure.subplots(len(contests), 1, height_ratios=heights, squeeze=False)
    for axis, (name, ranked) in zip(axes.flat, contests, strict=True):
        _draw_ranks(axis, ranked)
        axis.set_title(heading(size, 1, name))
    all_contestants = pd.concat([ranked for _, ranked in contests])
    range_text = f"Mean rank over {count_range(all_contestants.n)} {blocks}, 1 is best."
    caption = f"{range_text} A bar joins what cannot be told apart (Nemenyi, 5 %)."
    return CaptionedFigure(
        "ranks", figure, title, caption, values_in_words("Mean ranks", all_contestants, "estimate", "start")
    )


def _contests(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name of each comparison and its contestants, each with its `label`."""
    for factor, outcome in ((f, o) for f in ("model", "searcher") for o in NAMES):
        context = [*(c for c in GROUP_KEYS if c != factor), "start"]
        ranked = rows[rows.measure == f"{factor} rank:{outcome}"]
        for _, contestants in ranked.groupby(context, sort=False, dropna=False):
            first = contestants.iloc[0]
            if len(contestants) >= rank_tests.CONTESTANTS and first.n >= rank_tests.BLOCKS:
                outcome_text = NAMES[outcome] + (f" {first.threshold:g}" if outcome == "iterations" else "")
                fixed, names = (
                    (first.searcher_label, contestants.model)
                    if factor == "model"
                    else (first.model, contestants.searcher_label)
                )
                yield f"{outcome_text}; {fixed}; from {first.start}; n = {first.n:g}", contestants.assign(label=names)


def _draw_ranks(axis: Any, ranked: pd.DataFrame) -> None:
    """Draw the best rank on top, and the bars at the right."""
    k = len(ranked)
    reach = rank_tests.critical_difference(k, int(ranked.n.iloc[0]))
    for i, (mean, model) in enumerate(zip(ranked.estimate, ranked.model, strict=True)):
        axis.plot(mean, i, marker_of(model), color=colour_of(model), markersize=5)
    bars = rank_tests.nonsignificant_groups(ranked.estimate.to_numpy(), reach)
    for place, (first, last) in enumerate(bars):
        x = k + 0.25 + 0.15 * place
        axis.plot([x, x], [first - 0.2, last + 0.2], color=INK, linewidth=3, alpha=0.6, solid_capstyle="butt")
    axis.errorbar(1 + reach / 2, -1, xerr=reach / 2, color=INK, capsize=2, linewidth=0.8)
    axis.text(1 + reach + 0.05, -1, f"critical difference {reach:.2f}", va="center")
    axis.set_yticks(range(k), [label(name) for name in ranked.label])
    axis.set(xlim=(0.9, k + 0.3 + 0.15 * len(bars)), ylim=(k - 0.4, -1.6), xticks=range(1, k + 1))
    axis.grid(axis="x")
