"""Labels of images: the digit of an MNIST image, the alphabet of an Omniglot drawing."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from vae.data import SPLIT_SEED, data_folder
from vae.errors import UnusableError


@dataclass(frozen=True)
class Labels:
    """The class of each image of a data set, in the order of `vae.data.load`."""

    classes: tuple[str, ...]
    train: Int[Tensor, " n"]
    valid: Int[Tensor, " v"]
    test: Int[Tensor, " t"]


def load_labels(name: str, folder: Path | None = None) -> Labels:
    """The labels of "mnist" or "omniglot", dealt to the splits as its images are; load those first.

    Raises:
        ValueError: a data set without labels.
        UnusableError: files missing or damaged.
    """
    if name not in READERS:
        raise ValueError(f"Data set {name!r} has no labels; there are {', '.join(READERS)}.")
    classes, labels = READERS[name](folder or data_folder())
    dealt = torch.Generator().manual_seed(SPLIT_SEED)
    if name == "mnist":
        order, test = torch.randperm(60_000, generator=dealt), torch.arange(60_000, 70_000)
        train, valid = order[:55_000], order[55_000:]
    else:
        train, valid, test = torch.randperm(len(labels), generator=dealt).tensor_split([23_000, 24_345])
    return Labels(classes, labels[train], labels[valid], labels[test])


def _digits(folder: Path) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
    raw = folder / "MNIST" / "raw"
    try:
        parts = [np.fromfile(raw / f"{part}-labels-idx1-ubyte", np.uint8)[8:] for part in ("train", "t10k")]
    except OSError as error:
        raise UnusableError(
            f"No labels of MNIST in {raw} ({error.strerror}); delete it to download it again."
        ) from error
    if [p.size for p in parts] != [60_000, 10_000] or max(p.max() for p in parts) > 9:
        raise UnusableError(f"The labels of MNIST in {raw} are damaged; delete it to download it again.")
    return tuple(map(str, range(10))), torch.from_numpy(np.concatenate(parts)).long()


def _alphabets(folder: Path) -> tuple[tuple[str, ...], Int[Tensor, " n"]]:
    """50 alphabets in the order of the archives' folders, those of the background set first."""
    try:
        names = [n for part in ("images_background", "images_evaluation") for n in _names(folder / "omniglot-py", part)]
    except (OSError, zipfile.BadZipFile) as error:
        raise UnusableError(f"No names of Omniglot's drawings in {folder} ({error}); delete it there.") from error
    of = [Path(n).parts[-3] for n in names]
    classes = tuple(dict.fromkeys(of))
    if (len(of), len(classes)) != (32_460, 50):
        raise UnusableError(f"Omniglot in {folder} is incomplete: {len(of):,} drawings of {len(classes)} alphabets.")
    number = {alphabet: i for i, alphabet in enumerate(classes)}
    return classes, torch.tensor([number[a] for a in of])


def _names(folder: Path, part: str) -> list[str]:
    """The paths of the drawings of one half, ordered as `vae.data` reads them."""
    if (folder / part).is_dir():
        return sorted(p.relative_to(folder).as_posix() for p in (folder / part).rglob("*.png"))
    with zipfile.ZipFile(folder / f"{part}.zip") as z:
        return sorted(n for n in z.namelist() if n.endswith(".png"))


READERS = {"mnist": _digits, "omniglot": _alphabets}
