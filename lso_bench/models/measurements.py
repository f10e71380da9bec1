"""Latent spaces measured, each once: what was measured is kept in the results folder."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.progress import progress_display
from lso_bench.store import safe_read
from lso_bench.study.grid import find_checkpoint
from lso_bench.vae import checkpoint
from lso_bench.vae.checkpoint import load_model, sha256
from lso_bench.vae.data import Dataset, load
from lso_bench.vae.durable import write_whole
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.evaluation import MEANS, Effort, evaluate
from lso_bench.vae.metrics import BLOCK, ESTIMATORS, Metrics
from lso_bench.vae.zoo import Model

MADE_BY = ("command", "epochs", "anneal_epochs", "objective", "versions", "history")  # of a checkpoint's header
EACH = ("nelbo", "kl", "mi", "mi_b50")  # kept of every image, so that models can be compared in pairs


@dataclass(frozen=True)
class Measured:
    """One latent space: the weights, what made them, and what was measured."""

    model: Model
    what: dict[str, Any]  # decides the figures: checkpoint, data, effort, seed, device, version of the estimators
    made_by: dict[str, Any]
    torch: str  # version that measured
    metrics: Metrics
    each: dict[str, Float[Tensor, " n"]]  # of every test image

    @property
    def effort(self) -> Effort:
        return Effort(**self.what["effort"])


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
        lso_bench.errors.UnusableError: a checkpoint that is missing.
        UnusableError: one that is damaged, data that is not there, or results that cannot be written.
    """
    paths, effort = [find_checkpoint(m) for m in models], effort or Effort()
    data: dict[str, Dataset] = {}
    found = []
    with progress_display(quiet) as show:
        for i, (model, path) in enumerate(zip(models, paths, strict=True)):
            show("measuring", i, len(models), model.name)
            data[model.data] = data.get(model.data) or load(model.data, data_dir)
            found.append(_one(model, path, data[model.data], results, device, effort, seed))
    return found


def kept(results: Path) -> list[Measured]:
    """What was measured of each latent space in a results folder, by model; of several efforts the greatest."""
    found: dict[tuple[Model, str], Measured] = {}
    for path in sorted(results.glob("metrics/*.json")):
        if (one := _read(path)) is not None:
            of = one.model, one.what["checkpoint"]
            if of not in found or _size(one) > _size(found[of]):
                found[of] = one
    return [*found.values()]


def _size(measured: Measured) -> tuple[int, int]:
    return measured.effort.images, measured.effort.codes


def _sound(measured: Measured) -> bool:
    """Whether names are texts and figures numbers; anybody may have written the file."""
    m, effort = measured.metrics, measured.what.get("effort")
    figures = [v for k, v in asdict(m).items() if k not in ("activity", "kl_each", "se")]
    numbers = [*m.activity, *(v for v in figures if v is not None)] if isinstance(m.activity, list) else [None]
    texts = (measured.model.name, measured.model.data, measured.model.arch, measured.what.get("checkpoint"))
    sizes = effort.values() if isinstance(effort, dict) and effort.keys() == asdict(Effort()).keys() else [None]
    return (
        all(isinstance(t, str) for t in texts)
        and all(isinstance(n, int | float) for n in (*numbers, *sizes, measured.model.latent))
        and len(m.activity) > 0
        and (m.kl_each is None or [type(x) for x in m.kl_each] == [float] * len(m.activity))
        and all(isinstance(m.se[k], int | float) for k in MEANS if getattr(m, k) is not None)
        and all(x.shape == (m.n,) for x in measured.each.values())
    )


def _one(model: Model, path: Path, data: Dataset, results: Path, device: str, effort: Effort, seed: int) -> Measured:
    vae, header = load_model(path)
    test = hashlib.sha256(data.test.numpy().tobytes()).hexdigest()  # the split and the fixed binarisation
    what = {
        "estimators": ESTIMATORS,
        "checkpoint": sha256(path),
        "data_sha256": data.sha256,
        "test_sha256": test,
        "deterministic": vae.deterministic,
        "device": device,
        "effort": asdict(effort),
        "seed": seed,
    }
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
    kept = results / "metrics" / f"{Path(model.file).stem}-{key}.json"
    if (before := _read(kept, what)) is not None:
        return before
    try:
        metrics, observed = evaluate(vae.to(device), data.test, effort, seed, device)
    except UnusableError as error:
        mend = "the training diverged, or the weights are not of this network; leave it out, or train it again"
        raise UnusableError(f"{path}: {error}: {mend}") from error
    made_by = {k: header.get(k) for k in MADE_BY}
    each = {k: observed.each[k].float() for k in EACH if k in observed.each}
    now = Measured(model, what, made_by, str(torch.__version__), metrics, each)
    checkpoint.write(kept.with_suffix(".safetensors"), each, {"of": key})
    text = {k: v for k, v in asdict(now).items() if k != "each"}
    write_whole(kept, json.dumps(text, indent=1, allow_nan=False).encode())
    return now


def _read(path: Path, what: dict[str, Any] | None = None) -> Measured | None:
    """What stands there, if it is of `what`; None where nothing does that can be used."""
    try:
        raw = safe_read.metrics(path)
        if what is not None and raw["what"] != what:
            return None
        each, _ = checkpoint.read(path.with_suffix(".safetensors"))
        metrics = Metrics(**raw["metrics"])
        if metrics.n < BLOCK:  # once measured in one batch of all
            metrics = replace(metrics, mi_b50=None)
        measured = Measured(**{**raw, "model": Model(**raw["model"]), "metrics": metrics, "each": each})
        return measured if _sound(measured) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UnusableError):
        return None
