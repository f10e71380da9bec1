"""Data sets as tensors: find one by its name, split it, show it to a model.

The files of a data set are read from the data folder, without the network. That folder is the first given of: argument,
`LSO_BENCH_DATA`, the user's cache. Missing files are downloaded.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.paths import data_folder
from lso_bench.plugins.containment import contained, reason
from lso_bench.plugins.notation import is_file, read
from lso_bench.plugins.sources import digest
from lso_bench.vae import image_folder
from lso_bench.vae.array_file import LARGEST
from lso_bench.vae.datasets import DATASETS, Source
from lso_bench.vae.likelihoods import LIKELIHOODS
from lso_bench.vae.likelihoods.bernoulli import Bernoulli

SPLIT_SEED = 0  # seed of the split into train, valid and test, and of the fixed binarisation


@dataclass(frozen=True)
class Dataset:
    """Training samples as they are stored, and validation and test samples as the input of a model."""

    name: str
    train: Shaped[Tensor, "n *stored"]  # grey levels 0..255, numbers, or tokens; see `as_model_input`
    valid: Float[Tensor, "v *shape"]  # Bernoulli data: 0 or 1, a fixed draw of each grey level
    test: Float[Tensor, "t *shape"]  # likewise
    sha256: str  # hash of all samples in their order before the split
    likelihood: str = "bernoulli"


def load(name: str, folder: Path | None = None) -> Dataset:
    """Return the data set `name`, split by a seeded shuffle; `folder` holds its files, where it needs files.

    Raises:
        ValueError: as `source`.
        UnusableError: files are missing and cannot be downloaded, or are damaged; or the images have another size.
    """
    origin = DATASETS.build(name)
    stored = _stored(origin, name, folder or data_folder())
    sha256 = origin.sha256(stored)
    if origin.published and sha256 != origin.published:
        raise UnusableError(
            f"The {name} samples are not the published ones: wanted sha256 {origin.published[:12]}, got {sha256[:12]}; "
            "delete the copy in the data folder to download it again."
        )
    samples, generator = torch.from_numpy(stored), torch.Generator().manual_seed(SPLIT_SEED)
    train, valid, test = _split(origin, name, samples, generator)
    fixed_valid, fixed_test = (as_model_input(part, origin.likelihood, generator) for part in (valid, test))
    return Dataset(name, train, fixed_valid, fixed_test, sha256, origin.likelihood)


def check_repeatable(data: Dataset, folder: Path | None = None) -> None:
    """Read the samples of a user's data set once more.

    Raises:
        UnusableError: they are others, so that no model of them could be measured or searched.
    """
    origin = DATASETS.build(data.name)
    if type(origin).__module__.startswith("lso_bench.vae."):
        return
    if origin.sha256(_stored(origin, data.name, folder or data_folder())) != data.sha256:
        raise UnusableError(
            f"Data set {data.name!r}: wanted the same samples each time they are read, got others; seed what it draws, "
            "as with np.random.default_rng(0)."
        )


def _split(origin: Source, name: str, samples: Shaped[Tensor, "n *shape"], generator: torch.Generator) -> list[Tensor]:
    """Return the samples of the training, validation and test part."""
    try:
        with contained():
            train, valid, test = origin.split(len(samples), generator)
        parts = [samples[train], samples[valid], samples[test]]
    except Exception as error:  # user code may raise anything
        raise UnusableError(
            f"Data set {name!r}: wanted sample numbers for three parts from `split`, got {reason(error)}"
        ) from error
    if (fewest := min(map(len, parts))) < 2:
        raise UnusableError(f"Data set {name!r}: wanted 2 samples or more in every part of its split, got {fewest}.")
    return parts


def _stored(origin: Source, name: str, folder: Path) -> NDArray[Any]:
    try:
        with contained():
            samples = origin.samples(folder)
        dtype, actual = str(samples.dtype), f"{samples.dtype} {samples.shape[1:]}"
    except UnusableError:
        raise
    except Exception as error:  # user code may raise anything
        raise UnusableError(f"Data set {name!r}: {reason(error)}") from error
    likelihood = LIKELIHOODS.build(origin.likelihood)
    dtypes = ("uint8",) if likelihood.bounded else ("uint8", "float32")
    if actual not in (expected := [f"{d} {likelihood.stored_shape(tuple(origin.shape))}" for d in dtypes]):
        raise UnusableError(f"Data set {name!r}: wanted samples of {' or '.join(expected)}, got {actual}.")
    if dtype == "float32" and not np.isfinite(samples).all():
        raise UnusableError(f"Data set {name!r}: wanted finite numbers, got others.")
    if dtype == "uint8" and samples.max(initial=0) >= likelihood.levels:
        raise UnusableError(f"Data set {name!r}: wanted tokens below {likelihood.levels}, got {samples.max()}.")
    return samples


def file_name(text: str) -> str:
    """Return the text for a data set in a file name; a user's file or folder adds a hash of its content."""
    choice = read(text)
    path = Path(choice.name)
    if is_file(choice.name) and os.path.isfile(path):
        choice = choice._replace(name=f"{path.stem}+{digest(path)[:8]}")
    elif DATASETS.is_path(choice.name):
        digits = image_folder.fingerprint(path) if path.is_dir() else _fingerprint(path)
        choice = choice._replace(name=f"{path.resolve().name}+{digits}")
    return re.sub(r"[^\w.=]+", "+", str(choice))


def _fingerprint(file: Path) -> str:
    """Return eight hexadecimal digits that change with the content of a file; empty where it cannot be read."""
    try:
        return safe_read.sha256_of_state(file, LARGEST)[:8]
    except (OSError, ValueError):
        return ""


def as_model_input(
    stored: Shaped[Tensor, "n *stored"], likelihood: str, generator: torch.Generator | None = None
) -> Float[Tensor, "n *shape"]:
    """Return stored samples as a model takes them: Bernoulli data newly binarised, grey levels, numbers, one-hot."""
    return LIKELIHOODS.build(likelihood).model_input(stored, generator)


def binarise(grey: UInt8[Tensor, "n 1 h w"], generator: torch.Generator | None = None) -> Float[Tensor, "n 1 h w"]:
    """Draw every pixel from a Bernoulli; its grey level is the probability of ink (Salakhutdinov & Murray 2008)."""
    return Bernoulli().model_input(grey, generator)
