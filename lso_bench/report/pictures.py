"""Pictures of runs: reconstructions, loss curves, activity of the latent dimensions."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from torch import Tensor

from lso_bench.record import Record

matplotlib.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")  # Okabe & Ito 2008
SHOWN = 12  # instances in a sheet of reconstructions


def reconstructions(path: Path, records: Sequence[Record], tensors: Sequence[dict[str, Tensor]]) -> Path:
    """Targets in the first row, then a row for each model and start: the images that the search ended with."""
    count = min(SHOWN, len(tensors[0]["targets"]))
    rows = [("target", tensors[0]["targets"][:count])]
    for r, t in zip(records, tensors, strict=True):
        for start in r.spec.starts:
            at = [i for i, m in enumerate(r.members) if m.start == start][:count]
            rows.append((f"{r.spec.model.name}\nfrom {start}", t["decoded"][at]))
    figure, axes = plt.subplots(len(rows), count, figsize=(count * 0.75 + 1.3, len(rows) * 0.75), squeeze=False)
    for line, (label, images) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image[0], cmap="gray_r", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    return _save(figure, path)


def curves(path: Path, records: Sequence[Record], traces: Sequence[pd.DataFrame]) -> Path:
    """Loss over steps: median over the instances and the band between the quartiles."""
    figure, axis = plt.subplots(figsize=(6, 4))
    for (i, r), trace in zip(enumerate(records), traces, strict=True):
        for style, start in zip(("-", "--", ":", "-."), r.spec.starts, strict=False):
            own = trace[(trace.start == start) & (trace.step > 0)].groupby("step").loss
            q = own.quantile([0.25, 0.5, 0.75]).unstack()
            colour = COLOURS[i % len(COLOURS)]
            axis.plot(q.index, q[0.5], style, color=colour, label=f"{r.spec.model.name}, from {start}")
            axis.fill_between(q.index, q[0.25], q[0.75], color=colour, alpha=0.1, linewidth=0)
    task, n = records[0].spec.task.partition(":")[0], len({m.instance for m in records[0].members})
    axis.set(xlabel="step", ylabel="loss (minus the score)", xscale="log")
    axis.set_title(f"{task}: median and quartiles of {n} instances", fontsize=10)
    axis.legend(fontsize=8)
    return _save(figure, path)


def activity(path: Path, models: Sequence[tuple[str, Sequence[float]]]) -> Path:
    """Variance of the posterior mean over the test images, a bar a dimension, most active first."""
    figure, axes = plt.subplots(len(models), 1, figsize=(6, 1.6 * len(models) + 0.6), sharex=True, squeeze=False)
    for i, (axis, (name, values)) in enumerate(zip(axes[:, 0], models, strict=True)):
        ordered = np.sort(np.asarray(values))[::-1]
        axis.bar(range(1, len(ordered) + 1), ordered, color=COLOURS[i % len(COLOURS)])
        axis.axhline(0.01, color="grey", linewidth=0.8, linestyle="--")
        axis.set(ylabel="activity", yscale="log", ylim=(1e-4, 2))
        axis.set_title(f"{name}: {(ordered > 0.01).sum()} of {len(ordered)} above 0.01 (dashed)", fontsize=9)
    axes[-1, 0].set_xlabel("latent dimension, by activity")
    return _save(figure, path)


def _save(figure: plt.Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
