"""Trainings in half the bytes: checkpoints that come out of it byte by byte, and states that others go on from.

A checkpoint is rounded to float16 before it is measured, so that halving it loses nothing any more. Of two shipped
models, rounded so, -ELBO moved by 0.0006 nats and KL by 0.003; by bfloat16, 0.006 and 0.03. Adam's moments, too small
for float16, are halved to bfloat16, and a training that goes on from there takes not quite the same way.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.files.atomic_write import write_atomic
from lso_bench.vae import checkpoint
from lso_bench.vae.architectures import architecture
from lso_bench.vae.data import Dataset
from lso_bench.vae.metrics import measure
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import checkpoint_header
from lso_bench.vae.training_state import Plan

WHOLE = ("running_mean", "running_var", "num_batches_tracked", ".step")  # small, and kept as they are
HALVES = (torch.float16, torch.bfloat16)
State = tuple[dict[str, Tensor], dict[str, Any]]  # tensors and header of an unfinished training


def halved(key: str, tensor: Tensor) -> Tensor:
    """A weight in float16, one of Adam's moments in bfloat16, anything else as it is."""
    if not tensor.is_floating_point() or key.endswith(WHOLE):
        return tensor
    half = tensor.to(torch.bfloat16 if key.startswith("adam.") else torch.float16)
    return half if half.isfinite().all() else tensor


def doubled(tensor: Tensor) -> Tensor:
    """A halved tensor in single precision."""
    return tensor.float() if tensor.dtype in HALVES else tensor


def rounded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they come out of half the bytes."""
    return {k: doubled(halved(k, t)) for k, t in tensors.items()}


def settle(path: Path, source: Path, data: Dataset, device: str) -> None:
    """Write to `path` a checkpoint with the rounded weights of `source`, a checkpoint or the state of a training, and
    with metrics that are measured after the rounding.

    `of_epochs` in its header says how many epochs the training is to have; those that it had are its `epochs`, and
    `batches` counts those of the epoch that was begun.
    """
    tensors, header = checkpoint.read(source)
    if "plan" in header:
        tensors = {k[4:]: t for k, t in tensors.items() if k.startswith("vae.")}
        plan, history = _plan(header["plan"]), header["history"]
        begun: dict[str, Any] = {"of_epochs": plan.epochs, "batches": header["batches"]}
        header = checkpoint_header(replace(plan, epochs=len(history)), data, history) | begun
    else:
        header |= {"of_epochs": header["epochs"], "batches": 0}
    model = Model(**header["model"])
    arch = architecture(model.arch, model.latent, tuple(data.train.shape[1:]), data.likelihood)
    vae = VAE(arch, OBJECTIVES.build(model.name).deterministic)
    vae.load_state_dict(rounded(tensors))
    torch.backends.cudnn.allow_tf32 = False
    metrics = measure(vae.to(device).eval(), data.test, device=device)
    checkpoint.save_model(path, vae, header | {"weights": "rounded to float16", "metrics": asdict(metrics)})


def _plan(settings: Mapping[str, Any]) -> Plan:
    return Plan(
        **{k: v for k, v in settings.items() if k not in ("model", "objective")}, model=Model(**settings["model"])
    )


def pack(path: Path, settled: Path | None, state: State | None) -> None:
    """Write a checkpoint that `settle` wrote, or a state, or both of the same weights, in half the bytes."""
    tensors, header = state if state else ({}, {})
    whole: dict[str, Any] = {"state": header} if state else {}
    halves = {k: halved(k, t) for k, t in tensors.items()}
    if settled:
        content = settled.read_bytes()
        whole["checkpoint"] = {"head": _head(content), "sha256": hashlib.sha256(content).hexdigest()}
        halves |= {f"vae.{k}": halved(k, t) for k, t in checkpoint.read(settled)[0].items()}
    checkpoint.write(path, halves, whole)


def unpack(path: Path, settled: Path, state: Path | None = None) -> dict[str, Any]:
    """Write the checkpoint, byte by byte as it was, and the state that are packed at `path`, as far as they are; the
    header of what is packed.

    Raises:
        UnusableError: damaged.
    """
    tensors, header = checkpoint.read(path)
    doubles = {k: doubled(t) for k, t in tensors.items()}
    if "checkpoint" in header:
        content = _content(header["checkpoint"]["head"], doubles)
        if hashlib.sha256(content).hexdigest() != header["checkpoint"]["sha256"]:
            raise UnusableError(f"{path} does not give its checkpoint back.")
        write_atomic(settled, content)
    if state and "state" in header:
        checkpoint.write(state, doubles, header["state"])
    return header


def is_finished(path: Path) -> bool:
    """Tell whether the file holds a packed training that has come to its end."""
    if not path.is_file():
        return False
    header = checkpoint.read(path)[1]
    return "checkpoint" in header and "state" not in header


def described(path: Path) -> dict[str, Any]:
    """The header of the checkpoint that is packed there; empty where none is."""
    header = checkpoint.read(path)[1]
    if "checkpoint" not in header:
        return {}
    return json.loads(json.loads(header["checkpoint"]["head"])["__metadata__"][checkpoint.KEY])


def _head(content: bytes) -> str:
    """The JSON at the beginning of a safetensors file; the order of its entries differs from writing to writing."""
    size = int.from_bytes(content[:8], "little")
    return content[8 : 8 + size].decode()


def _content(head: str, tensors: Mapping[str, Tensor]) -> bytes:
    """The safetensors file that has this JSON and these weights."""
    entries = {k: v["data_offsets"] for k, v in json.loads(head).items() if k != "__metadata__"}
    text = head.encode()
    parts = [tensors[f"vae.{k}"].contiguous().reshape(-1) for k in sorted(entries, key=entries.__getitem__)]
    return b"".join([len(text).to_bytes(8, "little"), text, *(p.view(torch.uint8).numpy().tobytes() for p in parts)])
