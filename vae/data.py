"""Data sets as tensors: Omniglot, MNIST and rendered glyphs, 28 x 28, grey, ink = 1.

Where a data set needs files, they are looked for in the data folder (first given: argument, `LSO_BENCH_DATA`, the
user's cache) and used without the network; otherwise torchvision downloads them.
"""

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from platformdirs import user_cache_path
from torch import Tensor

from vae.errors import UnusableError

OMNIGLOT_SHA256 = "8167dffec9d3ee72541f00f4f120b260f19aebf40a2a4c142dfc5a700a187882"
MNIST_SHA256 = "5b92582eb909c82a9bfefcd44acbe9233be3eb5b419a44cf211022ad2bf4bf96"
SPLIT_SEED = 0  # of the order in which images are dealt to train, valid, test, and of the fixed binarisation


@dataclass(frozen=True)
class Dataset:
    """Grey images to train on, binary images to measure on."""

    name: str
    train: UInt8[Tensor, "n 1 h w"]  # grey, 0..255; binarised anew whenever drawn
    valid: Float[Tensor, "v 1 h w"]  # 0 or 1, a Bernoulli draw of each grey level, fixed
    test: Float[Tensor, "t 1 h w"]  # likewise
    sha256: str  # of all grey images in their order before the split


def load(name: str, folder: Path | None = None) -> Dataset:
    """The data set `name` ("omniglot", "mnist" or "glyphs"), from `folder` where it needs files.

    Splits: omniglot 23,000 / 1,345 / 8,115 and glyphs 23,000 / 1,345 / rest, by a seeded shuffle; mnist
    55,000 / 5,000 of its training images, shuffled, and its own 10,000 test images.

    Raises:
        UnusableError: files missing and not to be downloaded, or damaged.
    """
    images = DATASETS[name](folder or data_folder())
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    _expect(name, digest)
    grey = torch.from_numpy(images).unsqueeze(1)  # (n, 1, 28, 28)
    dealt = torch.Generator().manual_seed(SPLIT_SEED)
    if name == "mnist":
        order, test = torch.randperm(60_000, generator=dealt), torch.arange(60_000, 70_000)
        train, valid = order[:55_000], order[55_000:]
    else:
        train, valid, test = torch.randperm(len(grey), generator=dealt).tensor_split([23_000, 24_345])
    return Dataset(name, grey[train], binarise(grey[valid], dealt), binarise(grey[test], dealt), digest)


def binarise(grey: UInt8[Tensor, "n 1 h w"], generator: torch.Generator | None = None) -> Float[Tensor, "n 1 h w"]:
    """A Bernoulli draw of every pixel, its grey level the probability of ink (Salakhutdinov & Murray 2008)."""
    return torch.bernoulli(grey.float() / 255, generator=generator)


def data_folder() -> Path:
    """Where data sets lie unless said otherwise: `LSO_BENCH_DATA`, else a folder in the user's cache."""
    return Path(os.environ.get("LSO_BENCH_DATA") or cache_folder() / "data").expanduser()


def cache_folder() -> Path:
    """Where what can be made again is kept: `LSO_BENCH_CACHE`, else the user's cache."""
    return Path(os.environ.get("LSO_BENCH_CACHE") or user_cache_path("lso-bench")).expanduser()


def omniglot(folder: Path) -> NDArray[np.uint8]:
    """All 32,460 drawings by alphabet, character and drawer, background set first."""
    return _cached("omniglot", lambda: _read_omniglot(folder / "omniglot-py"))


def mnist(folder: Path) -> NDArray[np.uint8]:
    """All 70,000 digits, the 60,000 training images first."""
    raw = folder / "MNIST" / "raw"
    files = [raw / f"{part}-images-idx3-ubyte" for part in ("train", "t10k")]
    if not all(f.exists() for f in files):
        _download("mnist", folder, "MNIST/raw/train-images-idx3-ubyte and t10k-images-idx3-ubyte")
    pixels = [np.fromfile(f, np.uint8)[16:] for f in files]  # 16 bytes of header
    if [p.size for p in pixels] != [60_000 * 784, 10_000 * 784]:
        raise UnusableError(f"MNIST in {raw} is damaged: wanted 60,000 and 10,000 images of 784 bytes; delete it.")
    return np.concatenate(pixels).reshape(-1, 28, 28)


def glyphs(folder: Path) -> NDArray[np.uint8]:
    """All drawings of `vae.glyphs`, rendered at first use; needs no file of `folder`."""
    from vae.glyphs import render

    return _cached("glyphs", render)


DATASETS = {"omniglot": omniglot, "mnist": mnist, "glyphs": glyphs}


def _expect(name: str, digest: str) -> None:
    """Refuse files whose pixels are not the published ones. (Glyphs vary with the version of FreeType.)"""
    wanted = {"omniglot": OMNIGLOT_SHA256, "mnist": MNIST_SHA256}.get(name, digest)
    if digest != wanted:
        raise UnusableError(
            f"The {name} images are not the published ones: wanted sha256 {wanted[:12]}, got {digest[:12]}; "
            "delete the copy in the data folder to download it again."
        )


def _cached(name, make) -> NDArray[np.uint8]:
    """What `make` gives, kept as an array with its hash; a copy that does not match its hash is made again."""
    path = cache_folder() / f"{name}-28.npy"
    try:
        content, digest = path.read_bytes(), path.with_suffix(".sha256").read_text()
        if hashlib.sha256(content).hexdigest() == digest:
            return np.load(io.BytesIO(content), allow_pickle=False)
    except OSError:
        pass  # not there yet
    images = make()
    buffer = io.BytesIO()
    np.save(buffer, images)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, buffer.getvalue())
        _write(path.with_suffix(".sha256"), hashlib.sha256(buffer.getvalue()).hexdigest().encode())
    except OSError:
        pass  # a cache that cannot be written costs time, nothing else
    return images


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)


def _read_omniglot(folder: Path) -> NDArray[np.uint8]:
    sets = ("images_background", "images_evaluation")
    if not all((folder / s).is_dir() or (folder / f"{s}.zip").is_file() for s in sets):
        _download("omniglot", folder.parent, "omniglot-py/images_background.zip and images_evaluation.zip")
    images = [_shrink(path, png) for s in sets for path, png in _drawings(folder, s)]
    if len(images) != 32_460:
        raise UnusableError(f"Omniglot in {folder} is incomplete: wanted 32,460 drawings, got {len(images):,}.")
    return np.stack(images)


def _drawings(folder: Path, part: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each PNG of one half of Omniglot, by name, from its folder or else its archive."""
    if (folder / part).is_dir():
        for path in sorted((folder / part).rglob("*.png"), key=lambda p: p.relative_to(folder).as_posix()):
            yield str(path), path.read_bytes()
        return
    archive = folder / f"{part}.zip"
    try:
        with zipfile.ZipFile(archive) as z:
            for name in sorted(n for n in z.namelist() if n.endswith(".png")):
                yield f"{archive}:{name}", z.read(name)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise UnusableError(f"{archive} is damaged ({error}); delete it to download it again.") from error


def _shrink(path: str, png: bytes) -> NDArray[np.uint8]:
    """Ink = 255, averaged by area to 28 x 28, in whole numbers so that every machine gives the same bytes."""
    try:
        paper = np.asarray(Image.open(io.BytesIO(png)).convert("1"))
    except (UnidentifiedImageError, OSError) as error:
        raise UnusableError(f"{path} is not a readable image ({error}); delete it to download it again.") from error
    if paper.shape != (105, 105):
        raise UnusableError(f"{path}: wanted 105 x 105 pixels, got {paper.shape[1]} x {paper.shape[0]}.")
    shares = _AREA @ (~paper).astype(np.int64) @ _AREA.T  # of 225 in all
    return ((510 * shares + 225) // 450).astype(np.uint8)


def _area() -> NDArray[np.int64]:
    """(28, 105): how many quarters of each of 105 pixels fall into each of 28, every row 15 in all."""
    quarters = np.arange(105 * 4)
    weights = np.zeros((28, 105), np.int64)
    np.add.at(weights, (quarters // 15, quarters // 4), 1)
    return weights


_AREA = _area()


def _download(name: str, folder: Path, files: str) -> None:
    try:
        from vae.download import download

        download(name, folder)
    except (OSError, RuntimeError, ImportError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnusableError(
            f"No {name} in {folder}, and downloading it failed ({why}). Put {files} there, "
            "or say --data-dir; the task glyphs50 needs no download."
        ) from error
