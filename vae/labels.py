"""Class labels of the images of a data set, split as the images are."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from lso_bench.files.paths import data_folder
from lso_bench.vae.data import SPLIT_SEED
from lso_bench.vae.datasets import DATASETS, Source


@dataclass(frozen=True)
class Labels:
    """Class of each image of a data set, in the order of `lso_bench.vae.data.load`."""

    classes: tuple[str, ...]
    train: Int[Tensor, " n"]
    valid: Int[Tensor, " v"]
    test: Int[Tensor, " t"]


def load_labels(name: str, folder: Path | None = None) -> Labels:
    """Return the labels of the data set `name`. Load its images first: they may have to be downloaded.

    Raises:
        UsageError: the data set does not exist.
        ValueError: it has no labels.
        UnusableError: files are missing or damaged.
    """
    origin = DATASETS.build(name)
    if (labelling := origin.classes(folder or data_folder())) is None:
        raise ValueError(f"Data set {name!r} has no labels; there are those of {', '.join(labelled())}.")
    classes, labels = labelling
    parts = origin.split(len(labels), torch.Generator().manual_seed(SPLIT_SEED))
    return Labels(classes, *(labels[part] for part in parts))


def labelled() -> list[str]:
    """Return the names of built-in and installed data sets that have labels."""
    return [n for n in DATASETS.names() if type(DATASETS.build(n)).classes is not Source.classes]
