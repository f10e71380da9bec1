"""The paper's tables and figures again: what is missing is trained, and ours stands beside the paper's."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.models import training
from lso_bench.models.measurements import Measured, measured
from lso_bench.paper.agreement import MEASURES, Order, frame, order, rows_of
from lso_bench.paper.published import SECTION_5_4, TABLE_1, TABLE_2
from lso_bench.study.grid import find_checkpoint, named_model
from lso_bench.vae import zoo
from lso_bench.vae.checkpoint import read
from lso_bench.vae.errors import UnusableError as VaeUnusableError
from lso_bench.vae.evaluation import SampleSizes
from lso_bench.vae.job import Plan, command
from lso_bench.vae.zoo import Model, objective

FIGURE_2 = ("vae", "beta_vae_0.9", "nevae_se")  # the paper: VAE, beta-VAE, NE-VAE; which beta is not said
SEARCHED = (*SECTION_5_4, "nevae_lp_0.1")  # the last has no count in the paper
TITLES = {
    "table1": "Table 1: every model, 32 latent dimensions",
    "table2": "Table 2: active units by latent dimensions",
    "fig1": "Figure 1: activity of each latent dimension",
    "fig2": "Figure 2: re-encoding error over training",
    "search": "Section 5.4: latent search",
}
CURVE = "reencoding_mean"  # of figure 2


@dataclass(frozen=True)
class Wanted:
    """What is to be reproduced, and how far."""

    what: str
    data: str = "omniglot"
    arch: str = "small"
    models: Sequence[str] = ()  # these rows only; all where there are none
    epochs: int | None = None
    compiled: bool = False  # this and the next two as in `lso_bench.models.training.plan`
    captured: bool = False
    precision: str = "fp32"
    train_seeds: Sequence[int] = (0,)


@dataclass(frozen=True)
class Reproduction:
    """A table or figure of the paper, beside ours."""

    title: str
    measured: list[Measured]
    rows: pd.DataFrame  # as `lso_bench.paper.agreement.frame` has it
    order: Order
    notes: list[str]  # what a reader of the table has to know, a line each


def models_of(wanted: Wanted) -> list[Model]:
    """The models that a table or figure needs.

    Raises:
        UsageError: an unknown table, or a model that has no part in it.
    """
    if wanted.what not in TITLES:
        raise unknown("table or figure", wanted.what, list(TITLES))
    rows = {"table2": TABLE_2, "fig2": FIGURE_2, "search": SEARCHED}.get(wanted.what, TABLE_1)
    for name in wanted.models:
        if name not in rows:
            raise unknown(f"model of {wanted.what}", name, list(rows))
    names = [n for n in rows if not wanted.models or n in wanted.models]
    sizes = (8, 16, 32, 64) if wanted.what == "table2" else (32,)
    of = product(names, sizes, wanted.train_seeds)
    return [named_model(n, wanted.data, wanted.arch, d, s) for n, d, s in of]


def untrained(models: Iterable[Model]) -> list[Model]:
    """Those without a checkpoint."""
    return [m for m in models if not _is_trained(m)]


def trained(wanted: Wanted) -> list[Model]:
    """Those with one.

    Raises:
        UnusableError: none has.
    """
    models = models_of(wanted)
    if there := [m for m in models if _is_trained(m)]:
        return there
    raise UnusableError(f"None of the models of {wanted.what} is trained; leave --no-train out to train them.")


def train_missing(wanted: Wanted, data_dir: Path | None, device: str, quiet: bool) -> list[str]:
    """Train what is missing, one after the other; each resumes where it was interrupted. Those that failed, a line
    each: they do not keep the others waiting.
    """
    failed = []
    for plan in plans(wanted):
        try:
            training.train(plan, data_dir, device, quiet)
        except VaeUnusableError as error:
            failed.append(f"{_label(plan.model)}: {error}")
    return failed


def plans(wanted: Wanted) -> list[Plan]:
    """The trainings of what is missing.

    Raises:
        UsageError: an unknown name or precision.
    """
    return [_plan(m, wanted) for m in untrained(models_of(wanted))]


def check(wanted: Wanted) -> None:
    """Refuse what could only fail after hours of training.

    Raises:
        UsageError: an unknown name or precision, or a model that was trained without what the figure shows.
        lso_bench.errors.UnusableError: a model that was trained for another number of epochs than was asked for.
        vae.errors.UnusableError: a checkpoint that is damaged.
    """
    for m in models_of(wanted):
        _plan(m, wanted)  # refuses an unknown precision, whether or not it is to be trained
        if (wanted.epochs or wanted.what == "fig2") and _is_trained(m):
            header = read(find_checkpoint(m))[1]
            _check_epochs(m, header.get("epochs"), wanted)
            if wanted.what == "fig2":
                _curve(m, header.get("history"), CURVE)


def reproduce(
    wanted: Wanted, results: Path, data_dir: Path | None = None, device: str = "cpu", quiet: bool = True
) -> Reproduction:
    """The table or figure from the models that are trained.

    Raises:
        UnusableError: none is.
    """
    there, missing = trained(wanted), untrained(models_of(wanted))
    found = measured(there, results, data_dir, device, SampleSizes(images=0, codes=0), quiet=quiet)
    odd = {(m.model.name, m.model.latent) for m in found if _other_formula(m)}
    same_formula = [m for m in found if (m.model.name, m.model.latent) not in odd]
    notes = [*_notes(found), *([f"not trained: {', '.join(map(_label, missing))}"] if missing else [])]
    keys = ["au"] if wanted.what == "table2" else list(MEASURES)
    return Reproduction(TITLES[wanted.what], found, frame(found, keys), order(same_formula, keys), notes)


def curves(found: Sequence[Measured]) -> pd.DataFrame:
    """Re-encoding error of the validation images after each epoch, a column a model.

    Raises:
        UsageError: a checkpoint without it.
    """
    columns = {m.model.name: _curve(m.model, m.made_by["history"], CURVE) for m in found}
    return pd.DataFrame(columns).rename_axis("epoch")


def _check_epochs(model: Model, given: int | None, wanted: Wanted) -> None:
    """A checkpoint's name says nothing of its epochs, so one of any number would be taken."""
    if not wanted.epochs or given == wanted.epochs:
        return
    path = find_checkpoint(model)
    if path.parent == zoo.SHIPPED:
        other = f"or train your own, which goes before it: {command(_plan(model, wanted))}"
    else:
        other = "or give another folder in LSO_BENCH_CHECKPOINTS to train it there"
    raise UnusableError(
        f"{path} has {given or 'an unknown number of'} epochs, and --epochs {wanted.epochs} was asked for; "
        f"leave --epochs out to take it as it is, {other}."
    )


def _plan(model: Model, wanted: Wanted) -> Plan:
    return training.plan(model, wanted.epochs, wanted.compiled, wanted.captured, wanted.precision)


def _curve(model: Model, history: Any, measure: str) -> pd.Series:
    try:
        return pd.Series({row["epoch"]: row[measure] for row in history})
    except (TypeError, KeyError) as error:
        raise UsageError(
            f"The checkpoint of {_label(model)} has no learning curve of {measure}; train it again, under another "
            "LSO_BENCH_CHECKPOINTS if it is there already."
        ) from error


def _notes(found: Sequence[Measured]) -> Iterator[str]:
    error = "+- is the standard error over the test images and says nothing about another training"
    if several := [r for r in rows_of(found) if len(r.each) > 1]:
        seeds = ", ".join(map(str, sorted({m.model.seed for r in several for m in r.each})))
        yield f"means over training seeds {seeds}, in brackets the least and the most; of one training, {error}"
    else:
        yield f"one training seed; {error}"
    yield "MI in batches of 50, the paper's likely estimator: it cannot exceed log 50 = 3.91"
    if (data := found[0].model.data) != "omniglot":
        yield f"the paper's figures are of Omniglot, ours of {data}: no difference here says anything about the paper"
    if len({m.made_by["epochs"] for m in found}) > 1:
        yield "not all of these were trained for the same number of epochs"
    for m in found:
        if _other_formula(m):
            yield f"{_label(m.model)} was trained by other settings than it has now, so not ordered: {_given(m)}"


def _other_formula(m: Measured) -> bool:
    return m.made_by["objective"] != asdict(objective(m.model.name))  # pyright: ignore[reportArgumentType]


def _given(m: Measured) -> str:
    return ", ".join(f"{k}={v}" for k, v in (m.made_by["objective"] or {}).items())


def _is_trained(model: Model) -> bool:
    try:
        return find_checkpoint(model).is_file()
    except UnusableError:
        return False


def _label(model: Model) -> str:
    more = [f"d = {model.latent}"] * (model.latent != 32) + [f"seed {model.seed}"] * (model.seed != 0)
    return model.name + f" ({', '.join(more)})" * bool(more)
