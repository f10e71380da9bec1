"""What the images of a data set are of, dealt to the splits as the images are."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from lso_bench.vae.data import SPLIT_SEED, data_folder, names, source
from lso_bench.vae.datasets import Source


@dataclass(frozen=True)
class Labels:
    """The class of each image of a data set, in the order of `vae.data.load`."""

    classes: tuple[str, ...]
    train: Int[Tensor, " n"]
    valid: Int[Tensor, " v"]
    test: Int[Tensor, " t"]


def load_labels(name: str, folder: Path | None = None) -> Labels:
    """The labels of the data set `name`; load its images first, which may have to be downloaded.

    Raises:
        ValueError: no such data set, or one without labels.
        UnusableError: files missing or damaged.
    """
    found = source(name)
    if (known := found.classes(folder or data_folder())) is None:
        raise ValueError(f"Data set {name!r} has no labels; there are those of {', '.join(labelled())}.")
    classes, labels = known
    parts = found.split(len(labels), torch.Generator().manual_seed(SPLIT_SEED))
    return Labels(classes, *(labels[part] for part in parts))


def labelled() -> list[str]:
    """The data sets of ours and of installed packages that have labels."""
    return [n for n in names() if type(source(n)).classes is not Source.classes]
