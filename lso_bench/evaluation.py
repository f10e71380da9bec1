"""Latent spaces measured, each once: what was measured is kept in the results folder."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from lso_bench.report.progress import shown
from lso_bench.spec import SCHEMA
from lso_bench.study import find_checkpoint
from vae import zoo
from vae.checkpoint import load_model, sha256
from vae.data import Dataset, load
from vae.evaluation import Effort, evaluate
from vae.metrics import Metrics
from vae.zoo import Model


@dataclass(frozen=True)
class Measured:
    """One latent space: the weights, what made them, and what was measured."""

    model: Model
    checkpoint: str  # sha256 of its file
    data_sha256: str  # of the images
    effort: Effort
    seed: int  # of the measurement
    made_by: dict[str, Any]  # command, epochs, versions and learning curve, from the checkpoint's header
    versions: dict[str, str]  # that measured
    metrics: Metrics


def measured(
    models: Sequence[Model],
    results: Path,
    data_dir: Path | None = None,
    device: str = "cpu",
    effort: Effort | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> list[Measured]:
    """Each model's latent space, on the test set of its data; measured now unless `results` has it.

    Raises:
        UnusableError: a checkpoint that is missing or damaged, or data that is not there.
    """
    paths, effort = [find_checkpoint(m) for m in models], effort or Effort()
    data: dict[str, Dataset] = {}
    found = []
    with shown(quiet) as show:
        for i, (model, path) in enumerate(zip(models, paths, strict=True)):
            show("measuring", i, len(models), model.name)
            data[model.data] = data.get(model.data) or load(model.data, data_dir)
            found.append(_one(model, path, data[model.data], results, device, effort, seed))
    return found


def _one(model: Model, path: Path, data: Dataset, results: Path, device: str, effort: Effort, seed: int) -> Measured:
    what = {"checkpoint": sha256(path), "data_sha256": data.sha256, "effort": asdict(effort), "seed": seed}
    key = hashlib.sha256(json.dumps([SCHEMA, what], sort_keys=True).encode()).hexdigest()[:12]
    kept = results / "metrics" / f"{Path(model.file).stem}-{key}.json"
    if (before := _read(kept)) is not None:
        return before
    vae, header = load_model(path)
    deterministic = zoo.objective(model.name).deterministic
    metrics = evaluate(vae.to(device), data.test, effort, seed, device, deterministic)
    made_by = {k: header.get(k) for k in ("command", "epochs", "anneal_epochs", "objective", "versions", "history")}
    versions = {"torch": str(torch.__version__), "device": device}
    now = Measured(model, what["checkpoint"], data.sha256, effort, seed, made_by, versions, metrics)
    _write(kept, json.dumps({"schema": SCHEMA, **asdict(now)}, indent=1, allow_nan=False))
    return now


def _read(path: Path) -> Measured | None:
    """What stands there; None where nothing does that can be used."""
    try:
        raw = json.loads(path.read_text())
        if raw.pop("schema") != SCHEMA:
            return None
        parts = {
            "model": Model(**raw["model"]),
            "effort": Effort(**raw["effort"]),
            "metrics": Metrics(**raw["metrics"]),
        }
        return Measured(**{**raw, **parts})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)
