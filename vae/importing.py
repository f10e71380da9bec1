"""Weights that `torch.save` wrote, brought into a checkpoint of ours: the one place where a pickle is read."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from lso_bench.vae import checkpoint, foreign
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.model import VAE
from lso_bench.vae.networks import Architecture

UNDER = ("state_dict", "model_state_dict")  # keys of a training's checkpoint that hold the weights
WRAPPERS = ("module.", "_orig_mod.", "model.")  # of DistributedDataParallel, torch.compile, Lightning
ANEW = "save the weights alone: torch.save(model.state_dict(), 'weights.pt')"
SWELL = 4  # times its own size that a file may take; torch.save does not compress


def import_model(source: Path, path: Path, arch: Architecture, deterministic: bool = False) -> None:
    """Save the weights in the file `source` to `path`: a dict of tensors named as in `VAE(arch).state_dict()`, by
    itself or under one of the keys `UNDER`, also with the prefix of a wrapper.
    What the pickle holds beside tensors and plain values is not executed.
    `deterministic`: as in `VAE`.

    Raises:
        UnusableError: no such file, other weights or values that are not finite, or `path` cannot be written.
    """
    tensors = _weights(source)
    vae = checkpoint.fitted(source, tensors, lambda: VAE(arch, deterministic))
    made_by = {"imported_from": source.name, "imported_sha256": checkpoint.sha256(source)}
    checkpoint.save_model(path, vae, made_by | {"versions": {"torch": str(torch.__version__)}})


def _weights(source: Path) -> dict[str, Tensor]:
    content = _loaded(source)
    held = next((content[k] for k in UNDER if k in content), content) if isinstance(content, dict) else content
    if not (isinstance(held, dict) and all(isinstance(k, str) and isinstance(t, Tensor) for k, t in held.items())):
        raise UnusableError(
            f"{source}: wanted a dict of tensors by name, by itself or under {' or '.join(map(repr, UNDER))}, got "
            f"{type(held).__name__}; {ANEW}."
        )
    return _without_prefix(held)


def _loaded(source: Path) -> Any:
    """The tensors and plain values in the file; torch's own errors advise to execute what they could not read."""
    try:
        with foreign.opened(source, checkpoint.LARGEST) as file:
            _check_archive(file)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        why = f"beside tensors and plain values it holds objects, which would be executed; {ANEW}"
        raise UnusableError(f"{source} holds no weights that can be read safely ({why}).") from error
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        ours = error.strerror if isinstance(error, OSError) else str(error) if type(error) is ValueError else ""
        why = ours or "torch cannot read it: is the file whole?"
        raise UnusableError(f"{source} holds no weights that can be read safely ({why}).") from error


def _without_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names without what a wrapper puts before all of them."""
    for prefix in WRAPPERS:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _without_prefix({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def _check_archive(file: BinaryIO) -> None:
    """Refuse what is no archive of torch.save, and one that swells when it is read."""
    size = os.fstat(file.fileno()).st_size
    if not zipfile.is_zipfile(file):
        raise ValueError(_other_format(file))
    with zipfile.ZipFile(file) as archive:
        swollen = sum(entry.file_size for entry in archive.infolist())
        if any(Path(entry.filename).name == "constants.pkl" for entry in archive.infolist()):
            raise ValueError("a TorchScript archive, which holds code")
    if swollen > SWELL * size:
        raise ValueError(f"its {size} bytes swell to {swollen}")


def _other_format(file: BinaryIO) -> str:
    """What the file is instead of an archive of torch.save."""
    file.seek(0)
    start = file.read(9)
    if start[8:] == b"{":
        return "a .safetensors file; torch.save(safetensors.torch.load_file(it), 'weights.pt') makes one that is read"
    if start[:1] == b"\x80":
        return "a pickle, as torch.save wrote before version 1.6; load it where it was made, and save it anew"
    return "no file of torch.save, or a torn one"
