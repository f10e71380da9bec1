"""The paper's tables and figures again: what is missing is trained, and ours stands beside the paper's."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from lso_bench import training
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.evaluation import Measured, measured
from lso_bench.paper import TABLE_1, TABLE_2
from lso_bench.study import find_checkpoint, named_model
from vae.evaluation import Effort
from vae.zoo import Model

FIGURE_2 = ("vae", "beta_vae_0.9", "nevae_se")  # the paper: VAE, beta-VAE, NE-VAE; which beta is not said
TITLES = {
    "table1": "Table 1: every model, 32 latent dimensions",
    "table2": "Table 2: active units by latent dimensions",
    "fig1": "Figure 1: activity of each latent dimension",
    "fig2": "Figure 2: re-encoding error over training",
}
MEASURES = {"nelbo": "-ELBO", "kl": "KL", "mi": "MI", "au": "AU"}  # in Table 1
OURS = {"mi": "mi_b50"}  # the estimator that the paper very likely used


@dataclass(frozen=True)
class Wanted:
    """What is to be reproduced, and how far."""

    what: str
    data: str = "omniglot"
    arch: str = "small"
    models: Sequence[str] = ()  # these rows only; all where there are none
    epochs: int | None = None
    compiled: bool = False


@dataclass(frozen=True)
class Reproduction:
    """A table or figure of the paper, beside ours."""

    title: str
    measured: list[Measured]
    rows: pd.DataFrame  # model, latent, measure, paper, ours, error, difference; a row a figure
    disagreements: list[str]  # pairs that stand in the other order than in the paper, a line each
    pairs: int  # compared
    missing: list[str]  # models not trained


def models_of(wanted: Wanted) -> list[Model]:
    """The models that a table or figure needs.

    Raises:
        UsageError: an unknown table, or a model that has no part in it.
    """
    if wanted.what not in TITLES:
        raise unknown("table or figure", wanted.what, list(TITLES))
    rows = {"table2": TABLE_2, "fig2": FIGURE_2}.get(wanted.what, TABLE_1)
    for name in wanted.models:
        if name not in rows:
            raise unknown(f"model of {wanted.what}", name, list(rows))
    names = [n for n in rows if not wanted.models or n in wanted.models]
    sizes = (8, 16, 32, 64) if wanted.what == "table2" else (32,)
    return [named_model(n, wanted.data, wanted.arch, d, 0) for n in names for d in sizes]


def untrained(models: Iterable[Model]) -> list[Model]:
    """Those without a checkpoint."""
    return [m for m in models if not _is_trained(m)]


def train_missing(wanted: Wanted, data_dir: Path | None, device: str, quiet: bool) -> None:
    """Train what is missing, one after the other; each resumes where it was interrupted."""
    for m in untrained(models_of(wanted)):
        plan = training.plan(m, wanted.epochs, wanted.compiled)
        training.train(plan, data_dir, device, quiet)


def reproduce(
    wanted: Wanted, results: Path, data_dir: Path | None = None, device: str = "cpu", quiet: bool = True
) -> Reproduction:
    """The table or figure from the models that are trained.

    Raises:
        UnusableError: none is.
    """
    models = models_of(wanted)
    missing = untrained(models)
    there = [m for m in models if m not in missing]
    if not there:
        raise UnusableError(f"None of the models of {wanted.what} is trained; leave --no-train out to train them.")
    effort = Effort() if wanted.what == "table1" else Effort(images=0, codes=0)
    found = measured(there, results, data_dir, device, effort, quiet=quiet)
    rows = _rows(wanted.what, found)
    disagreements, pairs = disorder(rows)
    return Reproduction(TITLES[wanted.what], found, rows, disagreements, pairs, [_label(m) for m in missing])


def disorder(rows: pd.DataFrame) -> tuple[list[str], int]:
    """Pairs of rows that stand in the other order than in the paper, by more than two standard errors of their
    difference; and the number of pairs whose order the paper gives.
    """
    found, pairs = [], 0
    for measure, group in rows.groupby("measure", sort=False):
        for a, b in combinations(group.to_dict("records"), 2):
            if a["paper"] == b["paper"]:
                continue
            pairs += 1
            more, less = (a, b) if a["paper"] > b["paper"] else (b, a)
            error = (more["error"] ** 2 + less["error"] ** 2) ** 0.5
            if less["ours"] - more["ours"] > 2 * error:
                found.append(
                    f"{measure}: in the paper {_name(more)} {more['paper']:g} > {_name(less)} {less['paper']:g}; "
                    f"here {more['ours']:.4g} < {less['ours']:.4g}"
                )
    return found, pairs


def curves(found: Sequence[Measured], measure: str) -> pd.DataFrame:
    """A measure on the validation images after each epoch, a column a model."""
    columns = {}
    for m in found:
        history = m.made_by["history"] or []
        if not history or measure not in history[0]:
            raise UsageError(f"The checkpoint of {_label(m.model)} has no learning curve of {measure}; train it again.")
        columns[m.model.name] = pd.Series({row["epoch"]: row[measure] for row in history})
    return pd.DataFrame(columns).rename_axis("epoch")


def _rows(what: str, found: Sequence[Measured]) -> pd.DataFrame:
    rows = []
    for m in found:
        name, d = m.model.name, m.model.latent
        printed = {"au": TABLE_2[name][d]} if what == "table2" else vars(TABLE_1[name])
        for key, paper in printed.items():
            field = OURS.get(key, key)
            ours, error = getattr(m.metrics, field), m.metrics.se.get(field, 0.0)
            rows.append([name, d, MEASURES[key], paper, ours, error, ours - paper])
    return pd.DataFrame(rows, columns=["model", "latent", "measure", "paper", "ours", "error", "difference"])


def _is_trained(model: Model) -> bool:
    try:
        return find_checkpoint(model).is_file()
    except UnusableError:
        return False


def _name(row: dict[Any, Any]) -> str:
    return row["model"] if row["latent"] == 32 else f"{row['model']} (d = {row['latent']})"


def _label(model: Model) -> str:
    return model.name if model.latent == 32 else f"{model.name} (d = {model.latent})"
