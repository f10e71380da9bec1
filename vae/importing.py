"""Weights that `torch.save` wrote, brought into a checkpoint of ours: the one place where a pickle is read."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae import checkpoint
from vae.errors import UnusableError
from vae.model import VAE
from vae.networks import Architecture

SWELL = 4  # times its own size that a file may take; torch.save does not compress


def import_model(source: Path, path: Path, arch: Architecture, deterministic: bool = False) -> None:
    """Save the weights in the file `source` to `path`: a dict of tensors named as in `VAE(arch).state_dict()`, by
    itself or under the key "state_dict". What the pickle holds beside tensors and plain values is not executed.
    `deterministic`: as in `VAE`.

    Raises:
        UnusableError: no such file, other weights or values that are not finite, or `path` cannot be written.
    """
    tensors = _weights(source)
    vae = checkpoint.fitted(source, tensors, lambda: VAE(arch, deterministic))
    made_by = {"imported_from": source.name, "imported_sha256": checkpoint.sha256(source)}
    checkpoint.save_model(path, vae, made_by | {"versions": {"torch": str(torch.__version__)}})


def _weights(source: Path) -> dict[str, Tensor]:
    try:
        _check_archive(source)
        found: Any = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        why = str(error).strip().split("\n")[0]
        raise UnusableError(f"{source} holds no weights that can be read safely ({why}).") from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not (isinstance(found, dict) and all(isinstance(k, str) and isinstance(t, Tensor) for k, t in found.items())):
        raise UnusableError(f"{source}: wanted a dict of tensors by name, got {type(found).__name__}.")
    return dict(found)


def _check_archive(source: Path) -> None:
    """Refuse what is no archive of torch.save, and one that swells when it is read."""
    if (size := source.stat().st_size) > checkpoint.LARGEST:
        raise ValueError(f"larger than {checkpoint.LARGEST >> 20} MB")
    with zipfile.ZipFile(source) as archive:
        swollen = sum(entry.file_size for entry in archive.infolist())
        if any(Path(entry.filename).name == "constants.pkl" for entry in archive.infolist()):
            raise ValueError("a TorchScript archive, which holds code")
    if swollen > SWELL * size:
        raise ValueError(f"its {size} bytes swell to {swollen}")
