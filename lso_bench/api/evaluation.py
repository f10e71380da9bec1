"""Measures of latent spaces as a DataFrame."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench.api.arguments import Integer, named, numbers, plain
from lso_bench.api.execution import device_of
from lso_bench.bounds import DRAWS, LATENT, SEED, is_whole
from lso_bench.errors import UsageError
from lso_bench.files.paths import absolute
from lso_bench.models.measurements import Measured, measured
from lso_bench.store.store import Store
from lso_bench.study.lookup import measured_models
from lso_bench.vae.evaluation import SampleSizes
from lso_bench.vae.frozen_models import FrozenModel


def evaluate(
    models: str | FrozenModel | Sequence[str | FrozenModel],
    data: str | None = None,
    folder: str | Path = "results",
    *,
    arch: str | None = None,
    latent: Integer = 32,
    train_seeds: Integer | Iterable[Integer] = (0,),
    draws: Integer = 0,
    nll_images: Integer = 100,
    nll_samples: Integer = 500,
    codes: Integer = 500,
    device: str = "auto",
    data_dir: str | Path | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Measure latent spaces on the test set: -ELBO, NLL, KL, MI, active units, decoder use, re-encoding.

    Each measurement is made once and kept in the folder. There `Results.compare` takes it for the table of collapse, so
    give the folder of the searches.

    Args:
        models: names, paths of files, or objects, all of one data set.
        data: data set of the models that were trained here; models from outside name theirs.
        folder: results folder.
        arch: architecture of the models that were trained here; default: `"small"`, of texts `"gru"`.
        latent: dimension of their latent space.
        train_seeds: seeds of the trainings.
        draws: seed of the measurement.
        nll_images: samples for the NLL; 0 leaves it out.
        nll_samples: latents a sample for the NLL.
        codes: latents for latent consistency, decoder use and retrieval; 0 leaves them out.
        device: "auto", "cpu" or "cuda".
        data_dir: folder of data sets.
        quiet: without progress.

    Returns:
        One row per model and training: `model`, `data`, `arch`, `latent`, `seed`, and the metrics of
        `lso-bench evaluate` with their standard errors, `se.kl` and so on. docs/json.md names them. A measure that the
        model does not have is NaN.

    Raises:
        UsageError: no such model, data set or architecture; or models of several data sets.
        UnusableError: weights or data are missing, or a model has no encoder.
        PluginError: code of a model raises, or gives latents or samples of another form than it says.
    """
    names = named("models", models)
    sizes = SampleSizes(
        images=_count("nll_images", nll_images),
        samples=_whole("nll_samples", nll_samples, 1, DRAWS),
        codes=_count("codes", codes),
    )
    d, seed = _whole("latent", latent, 1, LATENT), _whole("draws", draws, 0, SEED)
    trained = [measured_models(names, data, arch, d, _whole("train_seeds", s, 0, SEED)) for s in numbers(train_seeds)]
    place, source, on = absolute(folder), None if data_dir is None else absolute(data_dir), device_of(device)
    Store(place)
    distinct = [*dict.fromkeys(model for of_seed in trained for model in of_seed)]
    return pd.DataFrame([_row(m) for m in measured(distinct, place, source, on, sizes, seed, quiet)])


def _row(measured: Measured) -> dict[str, Any]:
    model, metrics = asdict(measured.model), asdict(measured.metrics)
    errors = {f"se.{name}": error for name, error in metrics.pop("se").items()}
    values = {name: math.nan if value is None else value for name, value in metrics.items()}
    return {"model": model.pop("name")} | model | values | errors


def _whole(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number of Python.

    Raises:
        UsageError: it is none, or out of bounds.
    """
    number = plain(value)
    if not is_whole(number, least, most):
        raise UsageError(f"{name}: wanted a whole number from {least} to {most:,}, got {value!r}.")
    return number


def _count(name: str, value: Any) -> int:
    """Return a number of samples.

    Raises:
        UsageError: it is none, or 1, of which there is no standard error.
    """
    if (number := _whole(name, value, 0, DRAWS)) == 1:
        raise UsageError(f"{name}: wanted 2 or more, for a standard error, or 0 to leave the measure out; got 1.")
    return number
