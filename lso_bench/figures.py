"""Figures of a comparison, each from its long table of measures (one section, with `how` for the searcher)."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.colours import colour_of
from lso_bench.pictures import plt, save
from lso_bench.variance import TOGETHER

STYLES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)))  # of searchers
MARKERS = "os^Dv<>"
FACTORS = ("train seed", "target", "start", "search seed", TOGETHER)
SMALLEST = 1e-9  # squared distance; two codes that are the same are drawn there
WIDE = 3  # panels in a row


def distance(path: Path, title: str, rows: pd.DataFrame) -> bool:
    """Squared distance of the codes of two starts against the stopping threshold: median and quartiles, a line a
    model, a panel a searcher and kind of pair. False, and nothing drawn, where no threshold was met.
    """
    met = cast(pd.DataFrame, rows[(rows.measure == "distance") & (rows["median"].notna() | rows.threshold.isna())])
    panels = [(k, g) for k, g in met.groupby(["how", "start"], sort=False) if g.threshold.notna().any()]
    if not panels:
        return False
    limits = [*sorted(met.threshold.dropna().unique(), reverse=True)]
    figure, axes = _panels(len(panels))
    for axis, (key, own) in zip(axes, panels, strict=False):
        how, kind = cast(tuple[str, str], key)
        for model, line in own.groupby("model", sort=False):
            _distances(axis, str(model), line, limits)
        axis.set(yscale="log", xlabel="stopping threshold (change of the loss)")
        axis.set_xticks(range(len(limits) + 1), [*(f"{t:g}" for t in limits), "end"], fontsize=8)
        axis.set_title(f"{how}: {kind}", fontsize=9)
    axes[0].set_ylabel("squared distance of the codes")
    _legend(axes)
    return _finish(
        figure, path, f"{title}\nmedian and quartiles over the pairs that met the threshold; end: of all pairs"
    )


def _distances(axis: Any, model: str, line: pd.DataFrame, limits: list[float]) -> None:
    """Broken where no pair met a threshold; the end, which is of all pairs, stands apart."""
    by = line.set_index("threshold")[["q25", "median", "q75"]].clip(lower=SMALLEST)
    low, middle, high = by.reindex(limits).to_numpy().T
    colour, x = colour_of(model), np.arange(len(limits))
    axis.plot(x, middle, "o-", color=colour, label=model, markersize=4)
    axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    q25, median, q75 = line.loc[line.threshold.isna(), ["q25", "median", "q75"]].clip(lower=SMALLEST).to_numpy()[0]
    axis.errorbar(len(limits), median, [[median - q25], [q75 - median]], fmt="D", markersize=4, capsize=3, color=colour)


def ecdf(path: Path, title: str, rows: pd.DataFrame) -> bool:
    """Share of searches and targets that is reached within so many evaluations: a line a model and searcher."""
    own = cast(pd.DataFrame, rows[rows.measure == "ecdf"])
    if own.empty:
        return False
    figure, axis = plt.subplots(figsize=(7.5, 4.5))
    styles = dict(zip(own.how.unique(), STYLES * 9, strict=False))
    longest = own.within.max()
    for key, line in own.groupby(["model", "how"], sort=False):
        model, how = cast(tuple[str, str], key)
        x, y = [*line.within, longest], [*line.estimate, line.estimate.iloc[-1]]
        axis.step(x, y, where="post", linestyle=styles[how], color=colour_of(model), label=f"{model}, {how}")
    axis.set(xscale="log", ylim=(0, 1.02), xlabel="evaluations of a problem", ylabel="share of targets reached")
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _finish(figure, path, f"{title}\nevery instance, start and target; beyond its budget a line is level")


def variance(path: Path, title: str, rows: pd.DataFrame) -> bool:
    """Variance of the final loss when one factor changes alone: its root, with 95 % intervals; a panel a searcher.

    Points, no bars: factors differ by powers of ten, and on a logarithmic axis a bar's length says nothing.
    """
    factors = [f for f in FACTORS if (rows.loc[rows.measure == f"variance:{f}", "estimate"] > 0).any()]
    own = cast(pd.DataFrame, rows[rows.measure.isin([f"variance:{f}" for f in factors]) & (rows.estimate > 0)])
    if own.empty:
        return False
    panels = [*own.groupby("how", sort=False)]
    figure, axes = _panels(len(panels), height=3.2)
    models = [*own.model.unique()]
    for axis, (how, panel) in zip(axes, panels, strict=False):
        for i, model in enumerate(models):
            mine = panel[panel.model == model].set_index("measure")
            if mine.empty:
                continue
            there = [f for f in factors if f"variance:{f}" in mine.index]
            roots = np.sqrt(mine.loc[[f"variance:{f}" for f in there], ["estimate", "low", "high"]].clip(lower=0))
            x = np.array([factors.index(f) for f in there]) + (i - (len(models) - 1) / 2) * 0.6 / len(models)
            reach = [(roots.estimate - roots.low).clip(lower=0), (roots.high - roots.estimate).clip(lower=0)]
            marks: dict[str, Any] = {"fmt": MARKERS[i % len(MARKERS)], "capsize": 3, "color": colour_of(model)}
            axis.errorbar(x, roots.estimate, np.nan_to_num(reach), label=model, **marks)
        axis.set_xticks(range(len(factors)), [f.replace(" and ", "\nand ") for f in factors], fontsize=8)
        axis.set(yscale="log", xlim=(-0.6, len(factors) - 0.4))
        axis.grid(axis="y", alpha=0.3)
        axis.set_title(str(how), fontsize=9)
    axes[0].set_ylabel("root of the variance (loss)")
    _legend(axes)
    return _finish(figure, path, f"{title}\nvariance of the final loss when one factor changes alone, 95 % interval")


def spread(path: Path, title: str, rows: pd.DataFrame) -> bool:
    """Standard deviation of the final loss over the starts of an instance: median and quartiles over instances."""
    own = cast(pd.DataFrame, rows[(rows.measure == "spread") & rows["median"].notna()])
    own = own.drop_duplicates(["model", "how"])
    if own.empty:
        return False
    ways, models = [*own.how.unique()], [*own.model.unique()]
    figure, axis = plt.subplots(figsize=(max(5.5, 1.5 + 1.3 * len(ways)), 4))
    for i, model in enumerate(models):
        mine = cast(pd.DataFrame, own[own.model == model])
        x = np.array([ways.index(h) for h in mine.how]) + (i - (len(models) - 1) / 2) * 0.6 / len(models)
        middle, low, high = (mine[c].clip(lower=SMALLEST).to_numpy() for c in ("median", "q25", "q75"))
        marks: dict[str, Any] = {"fmt": MARKERS[i % len(MARKERS)], "capsize": 3, "color": colour_of(model)}
        axis.errorbar(x, middle, [middle - low, high - middle], label=model, **marks)
    axis.set(yscale="log", ylabel="standard deviation of the loss over starts")
    axis.set_xticks(range(len(ways)), [w.replace(" ", "\n", 1) for w in ways], fontsize=8)
    axis.set_xlim(-0.6, len(ways) - 0.4)
    axis.legend(fontsize=8)
    axis.grid(axis="y", alpha=0.3)
    starts = ", ".join(dict.fromkeys(own.start))
    return _finish(figure, path, f"{title}\nmedian and quartiles over the instances; starts {starts}")


FIGURES: dict[str, Callable[[Path, str, pd.DataFrame], bool]] = {
    "distance": distance,
    "ecdf": ecdf,
    "variance": variance,
    "spread": spread,
}


def _panels(count: int, height: float = 3.6) -> tuple[Any, list[Any]]:
    columns = min(count, WIDE)
    lines = -(-count // columns)
    size = (max(4.2 * columns, 6), height * lines + 0.5)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=True)
    for axis in axes.flat[count:]:
        axis.axis("off")
    return figure, [*axes.flat]


def _legend(axes: list[Any]) -> None:
    """In the first panel, what stands in any of them."""
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    axes[0].legend(named.values(), named.keys(), fontsize=8)


def _finish(figure: Any, path: Path, title: str) -> bool:
    wide = int(14 * figure.get_size_inches()[0])  # letters of that size
    figure.suptitle("\n".join(textwrap.fill(line, wide) for line in title.splitlines()), fontsize=9)
    save(figure, path)
    return True
