"""Measurements of latent spaces, each made once and stored in the results folder."""

import glob
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.remarks import remark
from lso_bench.progress import progress_display
from lso_bench.store import result_files
from lso_bench.study.lookup import find_checkpoint
from lso_bench.vae import checkpoint, loading
from lso_bench.vae.data import Dataset, load
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.evaluation import MEANS, SampleSizes, evaluate, lacks_code_use, with_code_use, with_prior_texts
from lso_bench.vae.metrics import BLOCK, ESTIMATORS, Metrics
from lso_bench.vae.model import LatentModel
from lso_bench.vae.trained_model import Model

TRAINING = ("command", "epochs", "anneal_epochs", "objective", "versions", "history")  # keys of the header, stored
DIVERGED = "the training diverged, or the weights are not of this network; leave it out, or train it again"
PER_SAMPLE = ("nelbo", "kl", "mi", "mi_b50")  # measures stored of every sample, for paired comparison of models
STORED_NAMES = {"inputs": "what", "training": "made_by"}  # of fields in a file, where they have other names


@dataclass(frozen=True)
class Measured:
    """Measurement of one latent space: model, provenance and metrics."""

    model: Model
    inputs: dict[str, Any]  # of the metrics: checkpoint, data, effort, seed, device, version of the estimators
    training: dict[str, Any]  # TRAINING, of the checkpoint
    torch: str  # version of torch in the measurement
    metrics: Metrics
    per_sample: dict[str, Float[Tensor, " n"]]  # measures of every test sample

    @property
    def effort(self) -> SampleSizes:
        return SampleSizes(**self.inputs["effort"])

    def stored(self) -> dict[str, Any]:
        """Return the values as they stand in a file and in JSON, without those of every sample."""
        return {STORED_NAMES.get(k, k): v for k, v in asdict(self).items() if k != "per_sample"}


def measured(
    models: Sequence[Model],
    results: Path,
    data_dir: Path | None = None,
    device: str = "cpu",
    effort: SampleSizes | None = None,
    seed: int = 0,
    quiet: bool = True,
    attempt: Callable[[str], AbstractContextManager[None]] = nullcontext,
) -> list[Measured]:
    """Return the measurement of each model on the test set of its data, from `results` if it is there.

    A model is measured in the context `attempt(name)`; it is left out if that takes the error. Of a model whose weights
    are not here the measurement in `results` is returned, and a line says so.

    Raises:
        lso_bench.errors.UnusableError: a checkpoint is missing, and its measurement too.
        UnusableError: a checkpoint is damaged, data are missing, or results cannot be written.
    """
    effort = effort or SampleSizes()
    paths = {m: _checkpoint_or_none(m) for m in models}
    absent = [m for m in paths if paths[m] is None]
    stored = {s.model: s for s in measured_before(absent, results, data_dir, device, effort, seed)}
    for m in absent:
        if m not in stored:
            find_checkpoint(m)  # raises
        remark(f"{Path(m.file).stem}: its weights are not here; these are its measures in {results}.")
    data: dict[str, Dataset] = {}
    measurements = []
    with progress_display(quiet) as show:
        for i, model in enumerate(models):
            show("measuring", i, len(models), model.name)
            path = paths[model]
            if path is not None:
                data[model.data] = data.get(model.data) or load(model.data, data_dir)
            with attempt(model.name):
                measurements.append(
                    stored[model]
                    if path is None
                    else _measure_or_load(model, path, data[model.data], results, device, effort, seed)
                )
    return measurements


def _checkpoint_or_none(model: Model) -> Path | None:
    """Return the path of a model's checkpoint; None if it is one of ours that is not here."""
    try:
        return find_checkpoint(model)
    except UnusableError:
        if model.external:
            raise
        return None


def measured_before(
    models: Sequence[Model], results: Path, data_dir: Path | None, device: str, effort: SampleSizes, seed: int = 0
) -> list[Measured]:
    """Return the measurements in `results` of models whose weights are not here, made as `measured` makes them.

    One of more effort has the measures of one of less. A model is left out if two of its checkpoints were measured:
    nothing says which one is wanted.

    Raises:
        UnusableError: data are missing.
    """
    inputs_of = cache(lambda name: _inputs(load(name, data_dir), device, effort, seed))
    measurements = []
    for model in models:
        pattern = f"metrics/{glob.escape(Path(model.file).stem)}-*.json"
        of_model = [m for m in map(_read, sorted(results.glob(pattern))) if m is not None and m.model == model]
        alike = [m for m in of_model if _covers(m.inputs, inputs_of(model.data))]
        if len({m.inputs["checkpoint"] for m in alike}) == 1:
            measurements.append(max(alike, key=_size))
    return measurements


def _covers(inputs: dict[str, Any], request: dict[str, Any]) -> bool:
    """Return whether a measurement has the requested measures: the same inputs, and the same effort or more."""
    if any(inputs.get(k) != v for k, v in request.items() if k != "effort"):
        return False
    has, asked = SampleSizes(**inputs["effort"]), SampleSizes(**request["effort"])
    return (
        has.images >= asked.images and has.codes >= asked.codes and (has.samples == asked.samples or not asked.images)
    )


def load_all(results: Path) -> list[Measured]:
    """Return the stored measurements of a results folder, by model; of each latent space the one of most effort."""
    measurements: dict[tuple[Model, str], Measured] = {}
    for path in sorted(results.glob("metrics/*.json")):
        if (measurement := _read(path)) is not None:
            key = measurement.model, measurement.inputs["checkpoint"]
            if key not in measurements or _size(measurement) > _size(measurements[key]):
                measurements[key] = measurement
    return [*measurements.values()]


def _size(measured: Measured) -> tuple[int, int]:
    return measured.effort.images, measured.effort.codes


def _is_valid(measured: Measured) -> bool:
    """Return whether names are texts and metrics numbers; the file may come from anyone."""
    m, effort = measured.metrics, measured.inputs.get("effort")
    figures = [v for k, v in asdict(m).items() if k not in ("activity", "kl_each", "se")]
    numbers = [*m.activity, *(v for v in figures if v is not None)] if isinstance(m.activity, list) else [None]
    texts = (measured.model.name, measured.model.data, measured.model.arch, measured.inputs.get("checkpoint"))
    sizes = effort.values() if isinstance(effort, dict) and effort.keys() == asdict(SampleSizes()).keys() else [None]
    return (
        all(isinstance(t, str) for t in texts)
        and all(isinstance(n, int | float) for n in (*numbers, *sizes, measured.model.latent))
        and len(m.activity) > 0
        and (m.kl_each is None or [type(x) for x in m.kl_each] == [float] * len(m.activity))
        and all(isinstance(m.se[k], int | float) for k in MEANS if getattr(m, k) is not None)
        and all(x.shape == (m.n,) for x in measured.per_sample.values())
    )


def _measure_or_load(
    model: Model, path: Path, data: Dataset, results: Path, device: str, effort: SampleSizes, seed: int
) -> Measured:
    vae, header = loading.load(model, path)
    if not vae.has_encoder:
        raise UnusableError(
            f"Model {model.name!r} has no encoder, and what is measured of a latent space needs one (KL, MI, active "
            "units, consistency); write its `encode`, or leave it out."
        )
    if header.get("data_sha256") not in (None, data.sha256):
        remark(f"{model.name} was trained on other samples of {data.name} than these; train it anew to compare it.")
    of_model = {"checkpoint": loading.fingerprint(model, path), "deterministic": vae.deterministic}
    inputs = of_model | _inputs(data, device, effort, seed)
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]
    file = results / "metrics" / f"{Path(model.file).stem}-{key}.json"
    stored = _read(file, inputs)
    if stored is not None and not lacks_code_use(stored.metrics, effort, vae):
        return stored
    try:
        vae = vae.to(device)
        new = _completed(stored, vae, data) if stored is not None else _measured(model, vae, header, inputs, data)
    except UnusableError as error:
        mend = "look at its code and weights" if model.external else DIVERGED
        raise UnusableError(f"{path}: {error}: {mend}") from error
    if stored is None:
        checkpoint.write(file.with_suffix(".safetensors"), new.per_sample, {"of": key})
    write_atomic(file, json.dumps(new.stored(), indent=1, allow_nan=False).encode())
    return new


def _inputs(data: Dataset, device: str, effort: SampleSizes, seed: int) -> dict[str, Any]:
    """Return the inputs of a measurement, but for those of the model."""
    test = hashlib.sha256(data.test.numpy().tobytes()).hexdigest()  # the split and the fixed binarisation
    return {
        "estimators": ESTIMATORS,
        "data_sha256": data.sha256,
        "test_sha256": test,
        "device": device,
        "effort": asdict(effort),
        "seed": seed,
    }


def _measured(
    model: Model, vae: LatentModel, header: dict[str, Any], inputs: dict[str, Any], data: Dataset
) -> Measured:
    sizes, seed = SampleSizes(**inputs["effort"]), inputs["seed"]
    metrics, observed = evaluate(vae, data.test, sizes, seed, inputs["device"])
    metrics = with_prior_texts(metrics, vae, DATASETS.build(data.name), data.train, sizes, seed)
    training = {k: header.get(k) for k in TRAINING}
    per_sample = {k: observed.per_sample[k].float() for k in PER_SAMPLE if k in observed.per_sample}
    return Measured(model, inputs, training, str(torch.__version__), metrics, per_sample)


def _completed(stored: Measured, vae: LatentModel, data: Dataset) -> Measured:
    """Return a measurement of an older version with the measures that it lacks; the others stay as they are."""
    seed, device = stored.inputs["seed"], stored.inputs["device"]
    metrics = with_code_use(stored.metrics, vae, data.test, stored.effort, seed, device)
    source = DATASETS.build(data.name)
    return replace(stored, metrics=with_prior_texts(metrics, vae, source, data.train, stored.effort, seed))


def _read(path: Path, inputs: dict[str, Any] | None = None) -> Measured | None:
    """Return the measurement in a file, if its inputs are these; None if it cannot be used."""
    try:
        raw = result_files.metrics(path)
        if inputs is not None and raw["what"] != inputs:
            return None
        per_sample, _ = checkpoint.read(path.with_suffix(".safetensors"))
        metrics = Metrics(**raw["metrics"])
        if metrics.n < BLOCK:  # older versions measured it in one batch
            metrics = replace(metrics, mi_b50=None)
        named = {field: raw.pop(stored) for field, stored in STORED_NAMES.items()}
        read = {"model": Model(**raw["model"]), "metrics": metrics, "per_sample": per_sample}
        measured = Measured(**{**raw, **named, **read})
        return measured if _is_valid(measured) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UnusableError):
        return None
