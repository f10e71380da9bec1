"""Trained weights and what made them, to and from safetensors. Nothing in such a file is ever executed."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vae import zoo
from vae.durable import write_whole
from vae.errors import UnusableError
from vae.model import VAE
from vae.networks import Architecture

LARGEST = 256 * 2**20  # bytes; the largest of our own is 6 MB
KEY = "lso-bench"  # of our JSON in the safetensors metadata
DETERMINISTIC = "deterministic"  # in a model's header: whether q(z|x) has no variance
DIGEST = "sha256"  # there, of JSON and tensors; files from before it have theirs in SUMS
SUMS = "SHA256SUMS"  # beside the files that ship, as sha256sum writes it
M = TypeVar("M", bound=nn.Module)


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header so that `path` is, at every moment, absent, the old file or the new one.

    Raises:
        UnusableError: it cannot be written.
    """
    whole = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
    text = json.dumps(header)
    write_whole(path, save(whole, {KEY: text, DIGEST: _digest(text, whole)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file made by `write`.

    Raises:
        UnusableError: missing, too large, damaged or not ours.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UnusableError(f"{path} is no checkpoint of ours: larger than {LARGEST >> 20} MB.")
        with safe_open(path, "pt") as f:
            metadata = f.metadata() or {}
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118, not a dict
        text = metadata.get(KEY, "null")
        header = json.loads(text)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise UnusableError(f"{path} is damaged or no safetensors file ({error}).") from error
    if not isinstance(header, dict):
        raise UnusableError(f"{path} is a safetensors file without the header {KEY!r}; was it made by this program?")
    same = metadata[DIGEST] == _digest(text, tensors) if DIGEST in metadata else _as_shipped(path)
    if not same or metadata.keys() - {KEY, DIGEST}:  # a digest by another name is none
        raise UnusableError(f"{path} is damaged: its content does not match its sha256.")
    return tensors, header


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256 of a header and of tensors: names, types, shapes and values."""
    digest = hashlib.sha256(text.encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _as_shipped(path: Path) -> bool:
    """Whether a file is the one that ships, or there is none of its name."""
    sums = path.with_name(SUMS)
    lines = sums.read_text().splitlines() if sums.is_file() else []
    shipped = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    return path.name not in shipped or shipped[path.name] == sha256(path)


def save_model(path: Path, vae: VAE, header: Mapping[str, Any]) -> None:
    """The weights of `vae`, its architecture, and `header`: whatever says how it was made."""
    write(path, vae.state_dict(), {**header, "arch": asdict(vae.arch), DETERMINISTIC: vae.deterministic})


def load_model(path: Path) -> tuple[VAE, dict[str, Any]]:
    """A model in evaluation mode and its header.

    Raises:
        UnusableError: as `read`, or the weights do not fit the architecture or are not finite.
    """
    tensors, header = read(path)
    arch, deterministic = _architecture(path, header.get("arch")), _is_deterministic(header)
    return fitted(path, tensors, lambda: VAE(arch, deterministic)), header


def fitted(path: Path, tensors: Mapping[str, Tensor], make: Callable[[], M]) -> M:
    """What `make` gives, with the weights that were read from `path`, in evaluation mode.

    Raises:
        UnusableError: they do not fit, or are not finite.
    """
    with torch.device("meta"):  # takes no memory, however large the header says the model is
        wanted = make().state_dict()
    if tensors.keys() != wanted.keys():
        odd = sorted(tensors.keys() ^ wanted.keys())
        raise UnusableError(f"{path} does not fit its architecture: missing or left over: {', '.join(odd[:3])}.")
    for key, tensor in tensors.items():
        kind, given = ((tuple(t.shape), str(t.dtype)) for t in (wanted[key], tensor))
        if kind != given:
            raise UnusableError(f"{path}: wanted {key} to be {kind}, got {given}.")
        if not torch.isfinite(tensor).all():
            raise UnusableError(f"{path}: {key} holds values that are not finite.")
    made = make()
    made.load_state_dict(tensors)
    return made.eval()


def sha256(path: Path) -> str:
    """Of the file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_deterministic(header: Mapping[str, Any]) -> bool:
    """Whether a header says that the model is an autoencoder; files from before it said so tell by metrics or name."""
    if DETERMINISTIC in header:
        return header[DETERMINISTIC] is True
    metrics, model = (part if isinstance(part := header.get(k), dict) else {} for k in ("metrics", "model"))
    family = str(model.get("name")).partition(":")[0]
    return metrics.get("kl", 0) is None or (zoo.is_ours(family) and zoo.objective(family).deterministic)


def _architecture(path: Path, settings: object) -> Architecture:
    unknown = UnusableError(f"{path}: its header describes no architecture that we know.")
    if not isinstance(settings, dict):
        raise unknown
    try:
        arch = Architecture(**{**settings, "kernels": tuple(settings["kernels"])})
    except (TypeError, KeyError, ValueError) as error:
        raise unknown from error
    return arch
