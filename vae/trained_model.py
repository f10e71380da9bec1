"""Trained models: what identifies one, and where its checkpoint lies."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from lso_bench.bounds import is_number
from lso_bench.errors import UnusableError
from lso_bench.files.paths import own_folder
from lso_bench.plugins.notation import is_file, read
from lso_bench.plugins.sources import digest
from lso_bench.vae.data import file_name

SHIPPED = Path(__file__).parent / "checkpoints"
EXTERNAL = "external"  # architecture of a model whose networks are the user's own


@dataclass(frozen=True)
class Model:
    """Identity of one trained model."""

    name: str  # objective, with its settings
    data: str  # with its settings
    arch: str = "small"  # with its settings
    latent: int = 32
    seed: int = 0  # training seed

    @property
    def external(self) -> bool:
        """Return whether it is a frozen model from outside; its name is that of its plugin."""
        return self.arch == EXTERNAL

    @property
    def file(self) -> str:
        """Name of the checkpoint file; the user's own data, architectures and objectives add a hash."""
        data, arch, name = self.file_parts
        return f"{data}-{arch}-d{self.latent}-{name}-s{self.seed}.safetensors"

    @property
    def file_parts(self) -> tuple[str, str, str]:
        """Data, architecture and objective as the name of the checkpoint file has them."""
        name, arch = (re.sub(r"[^\w.=-]+", "+", with_hash(text)) for text in (self.name, self.arch))
        return file_name(self.data), arch, name


def with_hash(text: str) -> str:
    """Return a name with its settings; the path of a user's file as its stem and a hash of its content."""
    choice = read(text)
    if is_file(choice.name) and os.path.isfile(choice.name):
        path = Path(choice.name)
        return str(choice._replace(name=f"{path.stem}+{digest(path)[:8]}"))
    return str(choice)


def checkpoint(model: Model, folder: Path | None = None) -> Path:
    """Return the path of a model's checkpoint, in `folder` (default `own_folder()`) or among the shipped ones.

    Raises:
        UnusableError: it is in neither.
    """
    for directory in (folder or own_folder(), SHIPPED):
        if os.path.isfile(directory / model.file):  # unlike Path.is_file it takes a name of any length
            return directory / model.file
    raise UnusableError(f"No checkpoint {model.file} in {folder or own_folder()} or among those shipped.")


def training_length(header: Mapping[str, Any]) -> dict[str, int | float]:
    """Return `epochs` of a checkpoint's training and `best_epoch`, that of the lowest -ELBO, where known."""
    history = header.get("history")
    measured = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
    known = [e for e in measured if is_number(e.get("epoch")) and is_number(e.get("nelbo")) and isfinite(e["nelbo"])]
    losses = {e["epoch"]: e["nelbo"] for e in known}
    best = {"best_epoch": min(losses, key=lambda epoch: losses[epoch])} if losses else {}
    return ({"epochs": header["epochs"]} if is_number(header.get("epochs")) else {}) | best
