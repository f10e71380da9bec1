"""Images that searches ended with, and walks through latent spaces, small enough to be part of a page."""

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from lso_bench.analysis.table import Files
from lso_bench.record import Record
from lso_bench.report.html_cells import figure, short
from lso_bench.spec import Spec
from lso_bench.vae import foreign

SHOWN = 12  # instances in a row
LARGEST = 1_500_000  # bytes of all walks
GAP = 2  # pixels between two images


@dataclass(frozen=True)
class Strip:
    """A row of images; `src` holds them."""

    label: str
    model: str
    src: str
    alt: str
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Sheet:
    """Rows of images under each other."""

    title: str
    caption: str
    strips: list[Strip]


def reconstructions(records: Sequence[Record], files: Callable[[Spec], Files]) -> tuple[list[Sheet], list[str]]:
    """A sheet a task and searcher: targets, if any, then what each model's searches ended with; of several seeds the
    first. Second, what could not be read.
    """
    sheets, lost = [], []
    usable = sorted((r for r in records if r.members), key=_of)
    for (task, searcher), same in groupby(usable, key=_of):
        first = {r.spec.model: r for r in sorted(same, key=lambda r: r.spec.seeds.init, reverse=True)}
        runs = sorted(first.values(), key=lambda r: (r.spec.model.name, r.spec.model.seed))
        strips: list[Strip] = []
        for r in runs:
            tensors = files(r.spec).tensors(r.spec)
            if tensors is None:
                lost.append(f"images of {r.spec.title}, whose file is damaged")
                continue
            if "targets" in tensors and not strips:
                images = tensors["targets"][:SHOWN]
                strips.append(_strip("target", "", images, f"{len(images)} targets"))
            strips += _of_run(r, tensors)
        if strips:
            caption = f"What searches ended with, by model and start, of the first {SHOWN} instances; their mean loss."
            sheets.append(Sheet(short(f"{task.partition(':')[0]}, {searcher}"), caption, strips))
    return sheets, lost


def _of_run(record: Record, tensors: dict[str, Tensor]) -> Iterator[Strip]:
    name = record.spec.model.name
    for start in record.spec.starts:
        at = [i for i, m in enumerate(record.members) if m.start == start][:SHOWN]
        if at and "decoded" in tensors:
            mean = figure(float(np.mean([record.members[i].loss for i in at])))
            alt = f"images that {short(name)} ended with from {short(start)} starts, mean loss {mean}"
            yield _strip(f"{short(name)}, from {short(start)}: {mean}", name, tensors["decoded"][at], alt)


def walks(folders: Sequence[Path]) -> tuple[list[Strip], list[str]]:
    """The sheets of every dimension that `lso-bench traverse` left in these results folders; which did not fit."""
    strips, left, size = [], [], 0
    for path in sorted(p for f in folders for p in (f / "traversals").glob("*-all.png")):
        try:
            content = foreign.content(path, LARGEST)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                width, height = image.size
        except (OSError, ValueError, Image.DecompressionBombError):
            left.append(f"{path.name} is no picture")
            continue
        if (size := size + len(content)) > LARGEST:
            left.append(path.name)
            continue
        alt = f"every latent dimension of {short(path.stem)}, a row each"
        strips.append(Strip(short(path.stem), "", _uri(content), alt, width // 2, height // 2))
    return strips, left


def _strip(label: str, model: str, images: UInt8[Tensor, "n 1 h w"], alt: str) -> Strip:
    """Side by side, ink black."""
    n, _, h, w = images.shape
    canvas = torch.full((h, n * (w + GAP) - GAP), 255, dtype=torch.uint8)
    for i, image in enumerate(images):
        canvas[:, i * (w + GAP) : i * (w + GAP) + w] = 255 - image[0]
    png = io.BytesIO()
    shades = ((canvas.int() + 8) // 17 * 17).to(torch.uint8)  # 16 of them take half the bytes
    Image.fromarray(shades.numpy()).save(png, "PNG", optimize=True)
    times = max(1, 56 // h)  # small ones are enlarged by whole pixels
    return Strip(label, model, _uri(png.getvalue()), alt, canvas.shape[1] * times, h * times)


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _of(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.searcher
