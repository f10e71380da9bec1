"""Data sets as tensors: find one by its name, split it, binarise it.

Where a data set needs files, they are looked for in the data folder (first given: argument, `LSO_BENCH_DATA`, the
user's cache) and used without the network; otherwise they are downloaded.
"""

import hashlib
import os
import pkgutil
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor

from lso_bench.vae import datasets
from lso_bench.vae.containment import contained, reason
from lso_bench.vae.datasets import Source
from lso_bench.vae.discovery import (
    ambiguous_names,
    first_line,
    instantiate,
    load_entry_point,
    module_at,
    module_named,
    plugin_entry_points,
    shadowed_names,
    single_subclass,
)
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.image_folder import ImageFolder, fingerprint
from lso_bench.vae.networks import Likelihood
from lso_bench.vae.notation import is_file, parse, path_text, read, write
from lso_bench.vae.paths import data_folder
from lso_bench.vae.settings import apply_settings, differing
from lso_bench.vae.sources import digest

GROUP = "lso_bench.datasets"
SPLIT_SEED = 0  # of the order in which images are dealt to train, valid, test, and of the fixed binarisation


@dataclass(frozen=True)
class Dataset:
    """Grey images to train on, and images as a model is shown them to measure on."""

    name: str
    train: UInt8[Tensor, "n 1 h w"]  # grey, 0..255; see `shown`
    valid: Float[Tensor, "v 1 h w"]  # of Bernoulli data 0 or 1, a draw of each grey level, fixed
    test: Float[Tensor, "t 1 h w"]  # likewise
    sha256: str  # of all grey images in their order before the split
    likelihood: Likelihood = "bernoulli"


def load(name: str, folder: Path | None = None) -> Dataset:
    """The data set `name`, as `source` reads it, from `folder` where it needs files; split by a seeded shuffle.

    Raises:
        ValueError: as `source`.
        UnusableError: files missing and not to be downloaded, or damaged; or no images of the size that it says.
    """
    found = source(name)
    images = _images(found, name, folder or data_folder())
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    if found.published and digest != found.published:
        raise UnusableError(
            f"The {name} images are not the published ones: wanted sha256 {found.published[:12]}, got {digest[:12]}; "
            "delete the copy in the data folder to download it again."
        )
    grey, dealt = torch.from_numpy(images).unsqueeze(1), torch.Generator().manual_seed(SPLIT_SEED)
    train, valid, test = _dealt(found, name, grey, dealt)
    fixed_valid, fixed_test = (as_model_input(part, found.likelihood, dealt) for part in (valid, test))
    return Dataset(name, train, fixed_valid, fixed_test, digest, found.likelihood)


def _dealt(found: Source, name: str, grey: UInt8[Tensor, "n 1 h w"], dealt: torch.Generator) -> list[Tensor]:
    """The images to train, validate and test on."""
    try:
        with contained():
            train, valid, test = found.split(len(grey), dealt)
        parts = [grey[train], grey[valid], grey[test]]
    except Exception as error:  # whatever a user's file raises
        raise UnusableError(
            f"Data set {name!r}: wanted image numbers for three parts from `split`, got {reason(error)}"
        ) from error
    if (fewest := min(map(len, parts))) < 2:
        raise UnusableError(f"Data set {name!r}: wanted 2 images or more in every part of its split, got {fewest}.")
    return parts


def _images(found: Source, name: str, folder: Path) -> NDArray[np.uint8]:
    try:
        with contained():
            images = found.images(folder)
        given = f"{images.dtype} {images.shape[1:]}"
    except UnusableError:
        raise
    except Exception as error:  # whatever a user's file raises
        raise UnusableError(f"Data set {name!r}: {reason(error)}") from error
    if given != (wanted := f"uint8 {found.shape[1:]}"):
        raise UnusableError(f"Data set {name!r}: wanted images of {wanted}, got {given}.")
    return images


def source(text: str) -> Source:
    """Where the images of `name` or `name:setting=value,...` come from: a data set of ours, one that a package
    publishes under the entry-point group `lso_bench.datasets`, the one in a file (`./mine.py`), or a folder of images.

    Raises:
        ValueError: no such name, file, folder or setting; or one that says a size or likelihood that there is not.
    """
    name, settings = parse(text)
    found = apply_settings(_made(name), settings)
    if found.size % 4 or found.size < 4:
        raise ValueError(f"{name}: wanted a size of 4, 8, 12, ... pixels a side, got {found.size}.")
    if found.likelihood not in get_args(Likelihood):
        raise ValueError(f"{name}: wanted a likelihood of {get_args(Likelihood)}, got {found.likelihood!r}.")
    return found


def file_name(text: str) -> str:
    """What stands for a data set in the name of a file; one of the user's own counts by its content."""
    name, settings = read(text)
    path = Path(name)
    if is_file(name) and os.path.isfile(path):
        name = f"{path.stem}+{digest(path)[:8]}"
    elif _is_folder(name):
        name = f"{path.resolve().name}+{fingerprint(path)}"
    return re.sub(r"[^\w.=]+", "+", write(name, settings))


def canonical(text: str) -> str:
    """The one text of a data set: of its settings those that are not its defaults, and the one spelling of a path.

    Raises:
        ValueError: as `source`.
    """
    wanted, (name, _) = source(text), parse(text)
    spelled = path_text(name) if is_file(name) or _is_folder(name) else name
    return write(spelled, differing(wanted, _made(name)))


def _is_folder(name: str) -> bool:
    """Whether it is a folder of images."""
    return os.path.isdir(name) and name not in (*_own(), *plugin_entry_points(GROUP))


def names() -> dict[str, str]:
    """Every data set by name, each with the first line of its docstring."""
    faulty = faults()
    listed = {n: first_line(type(_made(n))) for n in _own() if n not in faulty}
    return listed | {n: f"from {e.value}" for n, e in plugin_entry_points(GROUP).items() if n not in (*listed, *faulty)}


def faults() -> dict[str, str]:
    """What cannot be used, by name, and why: of the folder what is faulty, of entry points whose name is taken."""
    found = shadowed_names(GROUP, _own().__contains__) | ambiguous_names(GROUP)
    for name in _own():
        try:
            _made(name)
        except ValueError as error:
            found[name] = str(error)
    return found


def _own() -> list[str]:
    return [m.name for m in pkgutil.iter_modules(datasets.__path__)]


def _made(name: str) -> Source:
    if is_file(name):
        return instantiate(Source, single_subclass(Source, module_at(Path(name))), name)
    if name in _own():
        return instantiate(Source, single_subclass(Source, module_named(f"{datasets.__name__}.{name}")), name)
    if name in (offered := plugin_entry_points(GROUP)):
        return instantiate(Source, load_entry_point(offered[name]), offered[name].value)
    if os.path.isdir(name):  # unlike Path.is_dir it takes any text
        return ImageFolder(Path(name))
    if "/" in name:
        raise ValueError(f"No file or folder {name!r}.")
    raise ValueError(ambiguous_names(GROUP).get(name, f"No data set {name!r}."))


def as_model_input(
    grey: UInt8[Tensor, "n 1 h w"], likelihood: Likelihood, generator: torch.Generator | None = None
) -> Float[Tensor, "n 1 h w"]:
    """What a model is shown of grey images: binarised anew where its pixels are Bernoulli, else the grey levels in
    [0, 1].
    """
    return binarise(grey, generator) if likelihood == "bernoulli" else grey.float() / 255


def binarise(grey: UInt8[Tensor, "n 1 h w"], generator: torch.Generator | None = None) -> Float[Tensor, "n 1 h w"]:
    """A Bernoulli draw of every pixel, its grey level the probability of ink (Salakhutdinov & Murray 2008)."""
    return torch.bernoulli(grey.float() / 255, generator=generator)
