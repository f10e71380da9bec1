"""Images for the HTML page: results of searches, and traversals of latent spaces."""

import base64
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from lso_bench.analysis.table import Files
from lso_bench.files import safe_read
from lso_bench.plotting.numbers import in_words
from lso_bench.plotting.shown import as_shown
from lso_bench.plugins.notation import distinct_names
from lso_bench.record import Record, holds_images
from lso_bench.report.table import short
from lso_bench.spec import Spec
from lso_bench.vae.datasets import is_ink

SHOWN = 12  # instances in a row
LARGEST = 1_500_000  # bytes of all traversals
GAP = 2  # pixels between two images


@dataclass(frozen=True)
class Strip:
    """A row of images as one picture, whose data is in `src`."""

    label: str
    model: str
    src: str
    alt: str
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Sheet:
    """Rows of images below each other."""

    title: str
    caption: str
    strips: list[Strip]


def reconstructions(records: Sequence[Record], files: Callable[[Spec], Files]) -> tuple[list[Sheet], list[str]]:
    """Return a sheet per task and searcher, and a line for each unreadable file.

    A sheet has the targets, if any, then the final images of each model; of several seeds the first is shown.
    """
    sheets, unreadable = [], []
    tasks = sorted({r.spec.task for r in records})
    names = dict(zip(tasks, distinct_names(tasks), strict=True))
    usable = sorted((r for r in records if r.members), key=_task_and_searcher)
    for (task, searcher), searcher_runs in groupby(usable, key=_task_and_searcher):
        first_runs = {r.spec.model: r for r in sorted(searcher_runs, key=lambda r: r.spec.seeds.init, reverse=True)}
        runs = sorted(first_runs.values(), key=lambda r: (r.spec.model.name, r.spec.model.seed))
        strips: list[Strip] = []
        for r in runs:
            tensors = files(r.spec).tensors(r.spec)
            if tensors is None:
                unreadable.append(f"images of {r.spec.title}, whose file is damaged")
                continue
            if not holds_images(tensors):
                continue
            ink = is_ink(r.spec.model.data)
            if "targets" in tensors and not strips:
                images = tensors["targets"][:SHOWN]
                strips.append(_strip("target", "", images, f"{len(images)} targets", ink))
            strips += _run_strips(r, tensors, ink)
        if strips:
            caption = f"What searches ended with, by model and start, of the first {SHOWN} instances; their mean loss."
            caption += " Ink is dark." if is_ink(runs[0].spec.model.data) else " Images are shown as they are."
            sheets.append(Sheet(short(f"{names[task]}, {searcher}"), caption, strips))
    return sheets, unreadable


def _run_strips(record: Record, tensors: dict[str, Tensor], ink: bool) -> Iterator[Strip]:
    name = record.spec.model.name
    for start in record.spec.starts:
        indices = [i for i, m in enumerate(record.members) if m.start == start][:SHOWN]
        if indices:
            mean = _mean_loss([record.members[i].loss for i in indices])
            alt = f"images that {short(name)} ended with from {short(start)} starts, mean loss {mean}"
            yield _strip(f"{short(name)}, from {short(start)}: {mean}", name, tensors["decoded"][indices], alt, ink)


def _mean_loss(losses: Sequence[float]) -> str:
    """Return the mean of losses in words, or how many are not finite."""
    lost = sum(not math.isfinite(loss) for loss in losses)
    return f"unknown, {lost} of {len(losses)} not finite" if lost else in_words(float(np.mean(losses)))


def walks(folders: Sequence[Path]) -> tuple[list[Strip], list[str]]:
    """Return the traversal sheets of the results folders, written by `lso-bench traverse`, and the files that did not
    fit.
    """
    strips, skipped, total_size = [], [], 0
    for path in sorted(p for f in folders for p in (f / "traversals").glob("*-all.png")):
        try:
            content = safe_read.content(path, LARGEST)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                width, height = image.size
        except (OSError, ValueError, Image.DecompressionBombError):
            skipped.append(f"{path.name} is no picture")
            continue
        if (total_size := total_size + len(content)) > LARGEST:
            skipped.append(path.name)
            continue
        alt = f"every latent dimension of {short(path.stem)}, a row each"
        strips.append(Strip(short(path.stem), "", _data_uri(content), alt, width // 2, height // 2))
    return strips, skipped


def _strip(label: str, model: str, images: UInt8[Tensor, "n c h w"], alt: str, ink: bool) -> Strip:
    """Place images side by side; `ink` is drawn dark."""
    n, channels, h, w = images.shape
    canvas = np.full((h, n * (w + GAP) - GAP, channels), 255, np.uint8)
    for i, image in enumerate(images):
        canvas[:, i * (w + GAP) : i * (w + GAP) + w] = as_shown(image, ink).reshape(h, w, channels)
    png = io.BytesIO()
    shades = ((canvas.astype(int) + 8) // 17 * 17).astype(np.uint8)  # 16 shades take half the bytes
    Image.fromarray(shades[..., 0] if channels == 1 else shades).save(png, "PNG", optimize=True)
    scale = max(1, 56 // h)  # small images are enlarged by whole pixels
    return Strip(label, model, _data_uri(png.getvalue()), alt, canvas.shape[1] * scale, h * scale)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _task_and_searcher(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.searcher
