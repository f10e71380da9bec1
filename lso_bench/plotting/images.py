"""Pictures of runs, trainings and latent spaces."""

import io
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from torch import Tensor

from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import printable
from lso_bench.plotting.activity import Bars
from lso_bench.plotting.activity import activity as drawn_activity
from lso_bench.plotting.colours import colour_of
from lso_bench.plotting.shown import as_shown
from lso_bench.plotting.style import SIZES, plain, style_context
from lso_bench.plotting.style import save as save_drawn
from lso_bench.record import Record
from lso_bench.vae.datasets import is_ink

matplotlib.use("Agg")
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

LONGEST = 300  # characters of a text in a picture
SHOWN = 12  # instances in a sheet of reconstructions
TITLE = 18  # characters of a line above an image


@plain()
def reconstructions(path: Path, records: Sequence[Record], tensors: Sequence[dict[str, Tensor]]) -> Path:
    """Draw the targets in the first row, then one row per model and start: the images that the searches ended with."""
    count = min(SHOWN, len(tensors[0]["targets"]))
    ink = is_ink(records[0].spec.model.data)
    rows = [("target", tensors[0]["targets"][:count])]
    for r, t in zip(records, tensors, strict=True):
        for start in r.spec.starts:
            indices = [i for i, m in enumerate(r.members) if m.start == start][:count]
            rows.append((f"{r.spec.model.name}\nfrom {start}", t["decoded"][indices]))
    figure = Figure(figsize=(count * 0.75 + 1.3, len(rows) * 0.75))
    axes = figure.subplots(len(rows), count, squeeze=False)
    for line, (label, images) in zip(axes, rows, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(as_shown(image, ink), cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
    spec = records[0].spec
    title = f"{spec.task} · {spec.searcher} · seed {spec.seeds.init}"
    figure.suptitle(textwrap.fill(title, int(figure.get_figwidth() * 16)), fontsize=8)
    return save(figure, path)


@plain()
def best_images(path: Path, title: str, best: Mapping[tuple[str, str], tuple[Tensor, float]], ink: bool = True) -> Path:
    """Draw the best image of each model (row) and searcher (column), under its score."""
    models, searchers = ([*dict.fromkeys(key[i] for key in best)] for i in (0, 1))
    size = (max(len(searchers) * 1.1 + 1.3, 4.0), len(models) * 1.3 + 0.5)
    figure = Figure(figsize=size)
    axes = figure.subplots(len(models), len(searchers), squeeze=False)
    for line, model in zip(axes, models, strict=True):
        for axis, searcher in zip(line, searchers, strict=True):
            axis.set(xticks=[], yticks=[])
            if (model, searcher) not in best:
                axis.spines[:].set_visible(False)  # the name of the row stays
                continue
            image, score = best[model, searcher]
            axis.imshow(as_shown(image, ink), cmap="gray", vmin=0, vmax=255)
            lines = (textwrap.fill(line, TITLE) for line in searcher.splitlines())
            axis.set_title("\n".join([*lines, f"{score:.4g}"]), fontsize=8)
        line[0].set_ylabel(model, rotation=0, ha="right", va="center", fontsize=8)
    figure.suptitle(textwrap.fill(title, int(size[0] * 16)), fontsize=8)
    return save(figure, path)


def activity(path: Path, models: Bars) -> Path:
    """Draw the activity of each latent dimension of each model."""
    with style_context(SIZES["screen"]):
        return save_drawn(drawn_activity(models, "", SIZES["screen"]), path, with_title=True)


@plain()
def sheet(path: Path, title: str, labels: Sequence[str], rows: Sequence[Tensor], ink: bool = True) -> Path:
    """Draw rows of images, values from 0 to 1; `ink` is drawn dark.

    The images are pasted together, because there may be hundreds.
    """
    columns, (channels, h, w) = max(map(len, rows)), rows[0].shape[1:]
    height, width = h + 2, w + 2
    canvas = np.ones((len(rows) * height, columns * width, channels))
    for i, row in enumerate(rows):
        for j, image in enumerate(row.clamp(0, 1)):
            place = slice(i * height + 1, (i + 1) * height - 1), slice(j * width + 1, (j + 1) * width - 1)
            canvas[place] = as_shown(image, ink).reshape(h, w, channels)
    figure = Figure(figsize=(columns * 0.45 + 1.2, len(rows) * 0.45 + 0.5))
    axis = figure.subplots()
    axis.imshow(canvas[..., 0] if channels == 1 else canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_yticks([(i + 0.5) * height for i in range(len(rows))], labels, fontsize=7)
    axis.set_xticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title(title, fontsize=8)
    return save(figure, path)


LABELS = {
    "nelbo": "-ELBO, nats",
    "distortion": "distortion, nats",
    "kl": "KL, nats",
    "mi": "MI, nats",
    "au": "active units",
    "reencoding_mean": "re-encoding error",
}


@plain()
def learning_curve(path: Path, title: str, history: Sequence[Mapping[str, int | float]]) -> Path:
    """Draw the measurements of the validation images after each epoch, one panel per measure."""
    keys = [k for k in LABELS if k in history[0]]
    figure = Figure(figsize=(9, 4.6))
    axes = figure.subplots(2, 3, sharex=True)
    for axis, key in zip(axes.flat, keys, strict=False):
        axis.plot([row["epoch"] for row in history], [row[key] for row in history], ".-", color="#0072B2")
        axis.set_title(LABELS[key], fontsize=9)
        axis.yaxis.set_major_locator(MaxNLocator("auto", integer=key == "au"))
    for axis in axes.flat[len(keys) :]:
        axis.axis("off")
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.suptitle(title, fontsize=10)
    return save(figure, path)


@plain()
def over_training(path: Path, lines: pd.DataFrame, label: str) -> Path:
    """Draw one line per column of `lines`, over epochs."""
    figure = Figure(figsize=(6, 4))
    axis = figure.subplots()
    for name in lines.columns:
        axis.plot(lines.index, lines[name], ".-", color=colour_of(str(name)), label=name)
    axis.set(xlabel="epoch", ylabel=label)
    axis.legend(fontsize=8)
    return save(figure, path)


def save(figure: Figure, path: Path) -> Path:
    """Write the picture, and return its path; long texts are cut."""
    for text in figure.findobj(Text):
        printed = printable(text.get_text())
        text.set_parse_math(False)  # a dollar sign in a name starts no formula
        text.set_text(printed if len(printed) <= LONGEST else f"{printed[:LONGEST]}...")
    png = io.BytesIO()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # names too long, or of a script without font
        figure.tight_layout()
        figure.savefig(png, format="png", dpi=130)
    write_atomic(path, png.getvalue())
    return path
