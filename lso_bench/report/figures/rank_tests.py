"""Figure of mean ranks: models, and searchers, that do not differ significantly."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.transforms import blended_transform_factory

from lso_bench.analysis import rank_tests
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.plotting.colours import colour_of, marker_of, searcher_looks
from lso_bench.plotting.style import INK, CaptionedFigure, Size, blank, count_range, label, values_in_words

ROW = 0.19  # inches of a row
HEAD = 2.7  # rows of a comparison beside its contestants: its name, the critical difference, a gap
NAMES = {"loss": "final loss", "iterations": "steps to"}


def critical_difference(
    rows: pd.DataFrame, title: str, size: Size, blocks: str = "instances"
) -> CaptionedFigure | None:
    """Draw mean ranks of models (for a searcher) and of searchers (for a model), one comparison below the other.

    A bar joins contestants within Nemenyi's critical difference (Demsar 2006, section 3.2.2 and figure 1, here from top
    to bottom). None if no comparison has 3 contestants and 10 blocks.
    """
    contests = [*_contests(rows)]
    if not contests:
        return None
    all_contestants = pd.concat([ranked for _, ranked in contests])
    count = len(all_contestants) + HEAD * len(contests)
    figure = blank(size.width, ROW * count + 0.6)
    axis = figure.subplots()
    searchers = searcher_looks(rows.searcher_label.unique())
    across = blended_transform_factory(figure.transFigure, axis.transData)
    places, names, y, most = [], [], 0.0, max(len(ranked) for _, ranked in contests)
    for name, ranked in contests:
        heading = axis.text(0.02, y, label(name), fontweight="bold", va="center", transform=across)
        heading.set_in_layout(False)  # it begins at the left of the figure, above the names
        places += [y + 1, *_draw_ranks(axis, ranked, y + 2, most, searchers)]
        names += [f"from {ranked.start.iloc[0]}, n = {ranked.n.iloc[0]:g}", *map(label, ranked.label)]
        y += len(ranked) + HEAD
    axis.set_yticks(places, names)
    axis.tick_params(axis="y", length=0)
    axis.spines.left.set_visible(False)
    axis.set(xlim=(0.9, most + 0.6), ylim=(y - 1, -0.8), xticks=range(1, most + 1), xlabel="mean rank")
    axis.grid(axis="x")
    range_text = f"Mean rank over {count_range(all_contestants.n)} {blocks}, 1 is best."
    caption = f"{range_text} A bar at the right joins what does not differ significantly (Nemenyi, 5 %)."
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
            differ = contestants.estimate.nunique() > 1  # all ranks are equal where all blocks are ties
            if differ and len(contestants) >= rank_tests.CONTESTANTS and first.n >= rank_tests.BLOCKS:
                outcome_text = NAMES[outcome] + (f" {first.threshold:g}" if outcome == "iterations" else "")
                fixed, names = (
                    (first.searcher_label, contestants.model)
                    if factor == "model"
                    else (first.model, contestants.searcher_label)
                )
                yield f"{outcome_text}; {fixed}", contestants.assign(label=names)


def _draw_ranks(
    axis: Any, ranked: pd.DataFrame, top: float, most: int, searchers: dict[str, tuple[str, str]]
) -> list[float]:
    """Draw the critical difference, the ranks below it, the best on top, and the bars; return the places of the ranks.

    Args:
        most: contestants of the largest comparison; the bars stand at its right.
        searchers: colour and marker of each.
    """
    reach = rank_tests.critical_difference(len(ranked), int(ranked.n.iloc[0]))
    places = [top + i for i in range(len(ranked))]
    several_models = ranked.model.nunique() > 1
    looks = {m: (colour_of(m), marker_of(m)) for m in ranked.model} if several_models else searchers
    for y, mean, name in zip(places, ranked.estimate, ranked.model if several_models else ranked.label, strict=True):
        colour, marker = looks[name]
        axis.plot(mean, y, marker, color=colour, markersize=5)
    for i, (first, last) in enumerate(rank_tests.nonsignificant_groups(ranked.estimate.to_numpy(), reach)):
        x = most + 0.2 + 0.12 * i
        axis.plot([x, x], [places[first] - 0.2, places[last] + 0.2], color=INK, linewidth=3, alpha=0.6)
    axis.errorbar(1 + reach / 2, top - 1, xerr=reach / 2, color=INK, capsize=2, linewidth=0.8)
    axis.text(1 + reach + 0.05, top - 1, f"critical difference {reach:.2f}", va="center")
    return places
