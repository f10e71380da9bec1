"""Downloads by torchvision, also beside a CPU build of torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

import torch

from lso_bench.errors import MissingError, UnusableError


def download(name: str, folder: Path, files: str, fetch: Callable[[ModuleType], object]) -> None:
    """Download `name` into `folder` by `fetch(torchvision.datasets)`, with a progress bar and md5 check.

    Raises:
        UnusableError: the download failed; the message says which `files` to put there by hand.
        MissingError: within `offline`.
    """
    if _offline.get():
        raise MissingError(f"No {name} in {folder}; put {files} there.")
    try:
        datasets = torchvision_datasets()
        folder.mkdir(parents=True, exist_ok=True)
        fetch(datasets)
    except (OSError, RuntimeError, ImportError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnusableError(
            f"No {name} in {folder}, and downloading it failed ({reason}). Put {files} there, "
            "or say --data-dir; the task glyphs50 needs no download."
        ) from error


@contextmanager
def offline() -> Iterator[None]:
    """Forbid downloads within the context."""
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def torchvision_datasets() -> ModuleType:
    """Return torchvision.datasets.

    The build of the package index expects CUDA operators, so they are declared where torch has none.
    """
    try:
        from torchvision import datasets
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _libraries.append(library)  # a Library undoes its definitions when it is collected
        from torchvision import datasets
    return datasets


_offline: ContextVar[bool] = ContextVar("offline", default=False)
_libraries: list[torch.library.Library] = []
