"""Import of weights that `torch.save` wrote, into a checkpoint: the one place that reads a pickle."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.vae import checkpoint
from lso_bench.vae.architectures import Architecture
from lso_bench.vae.model import VAE

UNDER = ("state_dict", "model_state_dict")  # keys of a training's checkpoint that hold the weights
WRAPPERS = ("module.", "_orig_mod.", "model.")  # of DistributedDataParallel, torch.compile, Lightning
ANEW = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
SWELL = 4  # largest ratio of unpacked to packed size; torch.save does not compress


def import_model(source: Path, path: Path, arch: Architecture, deterministic: bool = False) -> None:
    """Save the weights in the file `source` to `path`, with the architecture `arch`.

    `source` is a dict of tensors named as in `VAE(arch).state_dict()`, by itself or under one of the keys `UNDER`;
    all names may have the prefix of a wrapper. Objects in the pickle other than tensors and plain values are not
    executed. `deterministic`: as in `VAE`.

    Raises:
        UnusableError: the file is missing or does not fit, a value is not finite, or `path` cannot be written.
    """
    tensors = _weights(source)
    vae = checkpoint.fitted(source, tensors, lambda: VAE(arch, deterministic))
    made_by = {"imported_from": source.name, "imported_sha256": checkpoint.sha256(source)}
    checkpoint.save_model(path, vae, made_by | {"versions": {"torch": str(torch.__version__)}})


def _weights(source: Path) -> dict[str, Tensor]:
    content = _load_safely(source)
    weights = next((content[k] for k in UNDER if k in content), content) if isinstance(content, dict) else content
    if not (
        isinstance(weights, dict) and all(isinstance(k, str) and isinstance(t, Tensor) for k, t in weights.items())
    ):
        raise UnusableError(
            f"{source}: wanted a dict of tensors by name, by itself or under {' or '.join(map(repr, UNDER))}, got "
            f"{type(weights).__name__}; {ANEW}."
        )
    return _without_prefix(weights)


def _load_safely(source: Path) -> Any:
    """Return the tensors and plain values in the file; torch's errors are replaced, for they advise to execute the
    file.
    """
    try:
        with safe_read.opened(source, checkpoint.LARGEST) as file:
            _check_archive(file)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = f"beside tensors and plain values it holds objects, which would be executed; {ANEW}"
        raise UnusableError(f"{source} holds no weights that can be read safely ({reason}).") from error
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        explanation = error.strerror if isinstance(error, OSError) else str(error) if type(error) is ValueError else ""
        reason = explanation or "torch cannot read it: is the file whole?"
        raise UnusableError(f"{source} holds no weights that can be read safely ({reason}).") from error


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the prefix that a wrapper puts before all names."""
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def _check_archive(file: BinaryIO) -> None:
    """Refuse a file that is not an archive of torch.save, or that grows too much when unpacked."""
    size = os.fstat(file.fileno()).st_size
    if not zipfile.is_zipfile(file):
        raise ValueError(_other_format(file))
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        if any(Path(entry.filename).name == "constants.pkl" for entry in archive.infolist()):
            raise ValueError("a TorchScript archive, which holds code")
    if unpacked > SWELL * size:
        raise ValueError(f"its {size} bytes swell to {unpacked}")


def _other_format(file: BinaryIO) -> str:
    """Return a description of a file that is not an archive of torch.save."""
    file.seek(0)
    start = file.read(9)
    if start[8:] == b"{":
        return "a .safetensors file; torch.save(safetensors.torch.load_file(it), 'weights.pt') makes one that is read"
    if start[:1] == b"\x80":
        return "a pickle, as torch.save wrote before version 1.6; load it where it was made, and save it anew"
    return "no file of torch.save, or a torn one"
