"""Reproduction of the paper's tables and figures: missing models are trained and measured."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.models import training
from lso_bench.models.measurements import Measured, measured, measured_before
from lso_bench.paper.agreement import MEASURES, Order, frame, order, rows_of
from lso_bench.paper.published import SECTION_5_4, TABLE_1, TABLE_2
from lso_bench.study.lookup import find_checkpoint, named_model
from lso_bench.vae import trained_model
from lso_bench.vae.checkpoint import read
from lso_bench.vae.evaluation import SampleSizes
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training_state import Plan, command

FIGURE_2 = ("vae", "beta_vae_0.9", "nevae_se")  # the paper: VAE, beta-VAE, NE-VAE; it does not give beta
SEARCHED = (*SECTION_5_4, "nevae_lp_0.1")  # the paper gives no count for the last
TITLES = {
    "table1": "Table 1: 32 latent dimensions",
    "table2": "Table 2: active units by latent dimensions",
    "fig1": "Figure 1: activity of each latent dimension",
    "fig2": "Figure 2: re-encoding error over training",
    "search": "Section 5.4: latent search",
}
CURVE = "reencoding_mean"  # of figure 2
LATER = {"channel": "auto"}  # settings that older headers lack, with what they mean there


@dataclass(frozen=True)
class Request:
    """A table or figure to reproduce, with the models and their training settings."""

    name: str  # table1, table2, fig1, fig2 or search
    data: str = "omniglot"
    arch: str = "small"
    models: Sequence[str] = ()  # empty: all rows
    epochs: int | None = None
    compiled: bool = False  # compiled, captured and precision as in `lso_bench.models.training.plan`
    captured: bool = False
    precision: str = "fp32"
    train_seeds: Sequence[int] = (0,)


@dataclass(frozen=True)
class Reproduction:
    """A table or figure of the paper with our measurements."""

    title: str
    measured: list[Measured]
    rows: pd.DataFrame  # as `lso_bench.paper.agreement.frame` returns them
    order: Order
    notes: list[str]  # caveats for the reader, one line each


def models_of(request: Request) -> list[Model]:
    """Return the models that a table or figure needs.

    Raises:
        UsageError: an unknown table, or a model that is not part of it.
    """
    if request.name not in TITLES:
        raise unknown("table or figure", request.name, list(TITLES))
    rows = _rows(request)
    for name in request.models:
        if name not in rows:
            raise unknown(f"model of {request.name}", name, rows)
    names = selection(request) or rows
    sizes = (8, 16, 32, 64) if request.name == "table2" else (32,)
    grid = product(names, sizes, request.train_seeds)
    return [named_model(n, request.data, request.arch, d, s) for n, d, s in grid]


def selection(request: Request) -> list[str]:
    """Return the rows that were asked for, in the paper's order; none where that is all of them."""
    names = [n for n in _rows(request) if n in request.models]
    return [] if names == _rows(request) else names


def _title(request: Request) -> str:
    """Return the title of a table or figure, with the number of its models if some were left out."""
    names = selection(request)
    return TITLES[request.name] + (f", {len(names)} of {len(_rows(request))} models" if names else "")


def untrained(models: Iterable[Model]) -> list[Model]:
    """Return the models without a checkpoint."""
    return [m for m in models if not _is_trained(m)]


def trained_models(request: Request) -> list[Model]:
    """Return the models with a checkpoint.

    Raises:
        UnusableError: no model has one.
    """
    models = models_of(request)
    if existing := [m for m in models if _is_trained(m)]:
        return existing
    raise _nothing_trained(request)


def train_missing(request: Request, data_dir: Path | None, device: str, quiet: bool) -> list[str]:
    """Train the missing models one after the other, and return a line for each that failed.

    Each training resumes where it was interrupted. A failure does not stop the others.
    """
    failed = []
    for plan in plans(request):
        try:
            training.train(plan, data_dir, device, quiet)
        except UnusableError as error:
            failed.append(f"{_model_label(plan.model)}: {error}")
    return failed


def plans(request: Request) -> list[Plan]:
    """Return the trainings of the missing models.

    Raises:
        UsageError: an unknown name or precision.
    """
    return [_plan(m, request) for m in untrained(models_of(request))]


def check(request: Request) -> None:
    """Refuse a request that could only fail after hours of training.

    Raises:
        UsageError: an unknown name or precision, or a model trained without the data of the figure.
        lso_bench.errors.UnusableError: a model trained for another number of epochs than requested.
        UnusableError: a damaged checkpoint.
    """
    for m in models_of(request):
        _plan(m, request)  # refuses an unknown precision even if nothing is to be trained
        if (request.epochs or request.name == "fig2") and _is_trained(m):
            header = read(find_checkpoint(m))[1]
            _check_epochs(m, header.get("epochs"), request)
            if request.name == "fig2":
                _curve(m, header.get("history"), CURVE)


def reproduce(
    request: Request, results: Path, data_dir: Path | None = None, device: str = "cpu", quiet: bool = True
) -> Reproduction:
    """Measure the trained models of a table or figure, and compare them with the paper.

    Of a model whose weights are not here the measurement in `results` is taken, if there is one.

    Raises:
        UnusableError: no model is trained or was measured.
    """
    models, effort = models_of(request), SampleSizes(images=0, codes=0)
    absent = untrained(models)
    kept = measured_before(absent, results, data_dir, device, effort)
    present = [m for m in models if m not in absent]
    if not (present or kept):
        raise _nothing_trained(request)
    of_present = measured(present, results, data_dir, device, effort, quiet=quiet)
    measurements = sorted([*of_present, *kept], key=lambda m: models.index(m.model))
    missing = [m for m in absent if m not in {k.model for k in kept}]
    changed = {(m.model.name, m.model.latent) for m in measurements if _has_other_settings(m)}
    comparable = [m for m in measurements if (m.model.name, m.model.latent) not in changed]
    notes = [
        *_notes(measurements),
        *_listed("measured before, weights not here", [k.model for k in kept]),
        *_listed("not trained", missing),
    ]
    keys = ["au"] if request.name == "table2" else list(MEASURES)
    return Reproduction(_title(request), measurements, frame(measurements, keys), order(comparable, keys), notes)


def curves(measurements: Sequence[Measured]) -> pd.DataFrame:
    """Return the re-encoding error of the validation images after each epoch, one column per model.

    Raises:
        UsageError: a checkpoint without it.
    """
    columns = {m.model.name: _curve(m.model, m.training["history"], CURVE) for m in measurements}
    return pd.DataFrame(columns).rename_axis("epoch")


def _rows(request: Request) -> list[str]:
    """Return the models of a table or figure, in the paper's order."""
    return [*{"table2": TABLE_2, "fig2": FIGURE_2, "search": SEARCHED}.get(request.name, TABLE_1)]


def _nothing_trained(request: Request) -> UnusableError:
    return UnusableError(f"None of the models of {request.name} is trained; leave --no-train out to train them.")


def _listed(heading: str, models: Sequence[Model]) -> list[str]:
    """Return a note that lists models, if there are any."""
    return [f"{heading}: {', '.join(map(_model_label, models))}"] if models else []


def _check_epochs(model: Model, epochs: int | None, request: Request) -> None:
    """Refuse a checkpoint with another number of epochs than requested; its name does not contain the number."""
    if not request.epochs or epochs == request.epochs:
        return
    path = find_checkpoint(model)
    if path.parent == trained_model.SHIPPED:
        remedy = f"or train your own, which goes before it: {command(_plan(model, request))}"
    else:
        remedy = "or give another folder in LSO_BENCH_CHECKPOINTS to train it there"
    raise UnusableError(
        f"{path} has {epochs or 'an unknown number of'} epochs, and --epochs {request.epochs} was asked for; "
        f"leave --epochs out to take it as it is, {remedy}."
    )


def _plan(model: Model, request: Request) -> Plan:
    return training.plan(model, request.epochs, request.compiled, request.captured, request.precision)


def _curve(model: Model, history: Any, measure: str) -> pd.Series:
    try:
        return pd.Series({row["epoch"]: row[measure] for row in history})
    except (TypeError, KeyError) as error:
        raise UsageError(
            f"The checkpoint of {_model_label(model)} has no learning curve of {measure}; train it again, under "
            "another LSO_BENCH_CHECKPOINTS if it is there already."
        ) from error


def _notes(measurements: Sequence[Measured]) -> Iterator[str]:
    error = "+- is the standard error over the test images and says nothing about another training"
    if several := [r for r in rows_of(measurements) if len(r.trainings) > 1]:
        seeds = ", ".join(map(str, sorted({m.model.seed for r in several for m in r.trainings})))
        yield f"means over training seeds {seeds}, in brackets the least and the most; of one training, {error}"
    else:
        yield f"one training seed; {error}"
    yield "MI in batches of 50, the paper's likely estimator: it cannot exceed log 50 = 3.91"
    if (data := measurements[0].model.data) != "omniglot":
        yield f"the paper's figures are of Omniglot, ours of {data}: no difference here says anything about the paper"
    if len({m.training["epochs"] for m in measurements}) > 1:
        yield "not all of these were trained for the same number of epochs"
    for m in measurements:
        if _has_other_settings(m):
            label, settings = _model_label(m.model), _settings_text(m)
            yield f"{label} was trained by other settings than it has now, so not ordered: {settings}"


def _has_other_settings(m: Measured) -> bool:
    """Return whether a header names other settings than an objective has now; those in LATER may be missing."""
    settings, recorded = asdict(OBJECTIVES.build(m.model.name)), m.training["objective"]  # pyright: ignore[reportArgumentType]
    older = {k: v for k, v in LATER.items() if k in settings}
    return not isinstance(recorded, dict) or older | recorded != settings


def _settings_text(m: Measured) -> str:
    return ", ".join(f"{k}={v}" for k, v in (m.training["objective"] or {}).items())


def _is_trained(model: Model) -> bool:
    try:
        return find_checkpoint(model).is_file()
    except UnusableError:
        return False


def _model_label(model: Model) -> str:
    details = [f"d = {model.latent}"] * (model.latent != 32) + [f"seed {model.seed}"] * (model.seed != 0)
    return model.name + f" ({', '.join(details)})" * bool(details)
