"""Downloads by torchvision, imported so that it also works beside a CPU build of torch."""

from pathlib import Path
from types import ModuleType

import torch


def download(name: str, folder: Path) -> None:
    """Fetch `name` ("omniglot" or "mnist") into `folder`, with torchvision's progress bar and md5 check.

    Raises:
        OSError, RuntimeError: no network, or not what was expected.
    """
    datasets = _torchvision_datasets()
    folder.mkdir(parents=True, exist_ok=True)
    if name == "omniglot":
        datasets.Omniglot(str(folder), background=True, download=True)
        datasets.Omniglot(str(folder), background=False, download=True)
    else:
        datasets.MNIST(str(folder), download=True)


def _torchvision_datasets() -> ModuleType:
    """torchvision.datasets; the index's build expects CUDA's operators, so they are declared where torch has none."""
    try:
        from torchvision import datasets
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(library)  # a Library undoes its definitions when it is collected
        from torchvision import datasets
    return datasets


_kept: list[torch.library.Library] = []
