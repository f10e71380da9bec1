"""Trained weights with their header, to and from safetensors. Nothing in a checkpoint is ever executed."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from lso_bench.errors import UnusableError
from lso_bench.files import safe_read
from lso_bench.files.atomic_write import write_atomic
from lso_bench.plugins.code_version import class_hash
from lso_bench.plugins.notation import name_of
from lso_bench.vae.architectures import ARCHITECTURES, Architecture
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.tensors import tensors_of
from lso_bench.vae.trained_model import SHIPPED

LARGEST = 256 * 2**20  # bytes; the largest that ships has 6 MB
LARGEST_SUMS = 2**20  # bytes of SUMS
KEY = "lso-bench"  # of our JSON in the safetensors metadata
ARCHITECTURE = "architecture"  # key of a model's header: built-in file of its networks; empty: not built in
ARCHITECTURE_CODE = "architecture_sha256"  # key of a model's header: hash of the code of networks that are not built in
DETERMINISTIC = "deterministic"  # key of a model's header: whether q(z|x) has no variance
DIGEST = "sha256"  # key of the metadata: hash of JSON and tensors; older files have theirs in SUMS
OLDER = "resnet"  # built-in file of older headers, and of those that name none: of `paper`, `small` and `conv`
OF_PIXELCNN = ("kernels", "skips", "gated")  # settings that older headers have of `conv`, too
SUMS = "SHA256SUMS"  # beside the files that ship, as sha256sum writes it
M = TypeVar("M", bound=nn.Module)


def write(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON header so that `path` is, at every moment, absent, the old file or the new one.

    Raises:
        UnusableError: it cannot be written.
    """
    whole = {k: t.detach().cpu().contiguous() for k, t in tensors.items()}
    text = json.dumps(header)
    write_atomic(path, save(whole, {KEY: text, DIGEST: _digest(text, whole)}))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file that `write` wrote.

    Raises:
        UnusableError: the file is missing, too large, damaged or not a checkpoint.
    """
    whole = content(path)
    try:
        tensors, metadata = tensors_of(whole)
        text = metadata.get(KEY, "null")
        header = safe_read.parsed(text)
    except ValueError as error:
        raise UnusableError(f"{path} is damaged or no safetensors file ({error}).") from error
    if not isinstance(header, dict):
        raise UnusableError(f"{path} is a safetensors file without the header {KEY!r}; was it made by this program?")
    matches = metadata[DIGEST] == _digest(text, tensors) if DIGEST in metadata else _matches_shipped(path, whole)
    if not matches or metadata.keys() - {KEY, DIGEST}:  # a digest under another key does not count
        raise UnusableError(f"{path} is damaged: its content does not match its sha256.")
    return tensors, header


def content(path: Path) -> bytes:
    """Return all bytes of a file that is not larger than a checkpoint may be.

    Raises:
        UnusableError: the file is missing, not a regular file, or too large.
    """
    with _reading(path):
        return safe_read.content(path, LARGEST)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn any error of reading `path` into one UnusableError that names it."""
    try:
        yield
    except OSError as error:
        raise UnusableError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UnusableError(f"{path} is no checkpoint of ours: {error}.") from error


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Compute the sha256 of a header and of tensors: names, types, shapes and values."""
    digest = hashlib.sha256(text.encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _matches_shipped(path: Path, content: bytes) -> bool:
    """Return whether a file equals the shipped one of its name; true if none of its name ships.

    Raises:
        UnusableError: the list of shipped files cannot be read.
    """
    sums = path.with_name(SUMS)
    try:
        lines = safe_read.text(sums, LARGEST_SUMS).splitlines()
        shipped = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except FileNotFoundError:
        return True
    except (OSError, ValueError) as error:
        raise UnusableError(f"{sums} is damaged ({error}); without it {path.name} cannot be trusted.") from error
    return path.name not in shipped or shipped[path.name] == hashlib.sha256(content).hexdigest()


def save_model(path: Path, vae: VAE, header: Mapping[str, Any]) -> None:
    """Write the weights of `vae`, its architecture, and `header`, which says how it was trained."""
    arch = {"arch": asdict(vae.arch), ARCHITECTURE: (file := ARCHITECTURES.file_of(type(vae.arch)))}
    code = {} if file else {ARCHITECTURE_CODE: class_hash(type(vae.arch))}
    write(path, vae.state_dict(), {**header, **arch, **code, DETERMINISTIC: vae.deterministic})


def load_model(path: Path, arch: str = "") -> tuple[VAE, dict[str, Any]]:
    """Return a model in evaluation mode, and its header.

    Args:
        path: the checkpoint.
        arch: name of the architecture, which may be a user's file; default: as the header says. No file that a
            header names is executed.

    Raises:
        UnusableError: as `read`; or the weights do not fit the architecture, or are not finite; or the code of the
            architecture has changed since the training.
        UsageError: there is no such architecture.
    """
    try:
        tensors, header = read(path)
    except UnusableError as error:
        if isinstance(error.__cause__, OSError):
            raise
        raise UnusableError(f"{str(error).rstrip('.')}; {mend(path.parent)}.") from error
    return fitted(path, tensors, _vae(path, header, arch)), header


def check_model(path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
    """Check that the content of a model's checkpoint fits the architecture of its header.

    Raises:
        UnusableError, UsageError: as `load_model`.
    """
    check_weights(path, tensors, _vae(path, header, ""))


def _vae(path: Path, header: dict[str, Any], arch: str) -> Callable[[], VAE]:
    networks, deterministic = _architecture(path, header, arch), _is_deterministic(header)
    return lambda: VAE(networks, deterministic)


def mend(folder: Path) -> str:
    """Return the advice for a damaged checkpoint in a folder."""
    if folder == SHIPPED:
        return "pip install --force-reinstall lso-bench"
    return "move it away; lso-bench train makes it again"


def fitted(path: Path, tensors: Mapping[str, Tensor], make: Callable[[], M]) -> M:
    """Return the module that `make` makes, with the weights read from `path`, in evaluation mode.

    Raises:
        UnusableError: the weights do not fit, or are not finite.
    """
    check_weights(path, tensors, make)
    module = make()
    module.load_state_dict(tensors)
    return module.eval()


def check_weights(path: Path, tensors: Mapping[str, Tensor], make: Callable[[], nn.Module]) -> None:
    """Check that the weights read from `path` are those of the module that `make` makes.

    Raises:
        UnusableError: they do not fit, or are not finite.
    """
    with torch.device("meta"):  # takes no memory, however large the header says the model is
        expected = make().state_dict()
    if tensors.keys() != expected.keys():
        unmatched = sorted(tensors.keys() ^ expected.keys())
        raise UnusableError(f"{path} does not fit its architecture: missing or left over: {', '.join(unmatched[:3])}.")
    for key, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise UnusableError(f"{path}: wanted {key} to be a dense tensor with values, got another kind.")
        kind, actual = ((tuple(t.shape), str(t.dtype)) for t in (expected[key], tensor))
        if kind != actual:
            raise UnusableError(f"{path}: wanted {key} to be {kind}, got {actual}.")
        if not torch.isfinite(tensor).all():
            raise UnusableError(f"{path}: {key} holds values that are not finite.")


def sha256(path: Path) -> str:
    """Compute the sha256 of a file's content.

    Raises:
        UnusableError: the file is missing, not a regular file, or larger than a checkpoint may be.
    """
    with _reading(path):
        return safe_read.sha256(path, LARGEST)


def _is_deterministic(header: Mapping[str, Any]) -> bool:
    """Return whether a header describes an autoencoder; in older files the metrics or the name tell it."""
    if DETERMINISTIC in header:
        return header[DETERMINISTIC] is True
    metrics, model = (part if isinstance(part := header.get(k), dict) else {} for k in ("metrics", "model"))
    family = str(model.get("name")).partition(":")[0]
    return metrics.get("kl", 0) is None or (OBJECTIVES.is_built_in(family) and OBJECTIVES.build(family).deterministic)


def _architecture(path: Path, header: Mapping[str, Any], requested: str) -> Architecture:
    """Return the architecture that a header describes.

    Raises:
        UnusableError: it describes none.
    """
    cls: Any = _architecture_class(path, header, requested)
    try:
        settings = _settings(header)
    except (AttributeError, TypeError) as error:
        raise UnusableError(f"{path}: its header describes no architecture that we know.") from error
    if header.get(ARCHITECTURE, OLDER) == OLDER and not settings.get("kernels"):
        settings = {k: v for k, v in settings.items() if k not in OF_PIXELCNN}
    try:
        return cls(**settings)
    except (AttributeError, TypeError, ValueError) as error:
        raise UnusableError(f"{path}: its header describes no architecture that we know.") from error


def _settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the architecture of a header; older ones have `size`, the side of a square image.

    Raises:
        AttributeError, TypeError: there are none.
    """
    settings: Any = header.get("arch")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return values if "size" not in values or "shape" in values else {"shape": (1, *2 * [values.pop("size")])} | values


def _architecture_class(path: Path, header: Mapping[str, Any], requested: str) -> type[Architecture]:
    name = name_of(requested)
    if requested and not ARCHITECTURES.is_built_in(name):
        cls = type(ARCHITECTURES.build(requested))
        if header.get(ARCHITECTURE_CODE) != class_hash(cls):
            raise UnusableError(
                f"{path} was trained with another version of the architecture {name}; put that one back, or train "
                "again."
            )
        return cls
    file = header.get(ARCHITECTURE, OLDER)
    if file == OLDER:
        settings = header.get("arch")
        file = "paper" if isinstance(settings, dict) and settings.get("kernels") else "conv"
    try:
        return ARCHITECTURES.class_in(file)
    except ValueError as error:
        raise UnusableError(f"{path}: its architecture {file!r} is none of ours; give its file or package.") from error
