"""Agreement with the paper: each model's measurements beside the paper's, and the order of the models."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

import pandas as pd
import torch

from lso_bench.models.measurements import Measured
from lso_bench.paper.published import TABLE_1, TABLE_2
from lso_bench.vae.metrics import ACTIVE
from lso_bench.vae.trained_model import Model

MEASURES = {"nelbo": "-ELBO", "kl": "KL", "mi": "MI", "au": "AU"}  # columns of Table 1
ESTIMATORS = {"mi": "mi_b50"}  # estimator that the paper very likely used
TIE = 0.02  # nats: closer values of the paper give no order (MI stops at 3.86 and 3.87)


@dataclass(frozen=True)
class Order:
    """Pairs of models and measures that the paper orders, and whether our measurements have the same order."""

    agreeing: int
    undecided: int  # our values are within two standard errors of their difference
    reversed_pairs: list[str]  # one line per pair


@dataclass(frozen=True)
class Row:
    """One model, trained with one or several training seeds and measured on the same images."""

    trainings: Sequence[Measured]

    @property
    def model(self) -> Model:
        return self.trainings[0].model

    @property
    def label(self) -> str:
        return self.model.name if self.model.latent == 32 else f"{self.model.name} (d = {self.model.latent})"

    @property
    def epochs(self) -> int | None:
        """Epochs of every training; None if they differ or are unknown."""
        first, *differing = {m.training["epochs"] for m in self.trainings}
        return None if differing else first

    def paper(self, key: str) -> int | float | None:
        """Return the value that the paper prints for this model, if any."""
        if self.model.latent == 32:
            return getattr(TABLE_1[self.model.name], key)
        return TABLE_2[self.model.name][self.model.latent] if key == "au" else None

    def ours(self, key: str) -> list[int | float]:
        """Return our value for each training."""
        return [getattr(m.metrics, ESTIMATORS.get(key, key)) for m in self.trainings]

    def mean(self, key: str) -> int | float:
        values = self.ours(key)
        return values[0] if len(values) == 1 else fmean(values)

    def over_seeds(self, key: str) -> float:
        """Return the standard error of the mean over trainings; 0 for a single training, which has no estimate."""
        values = self.ours(key)
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    def over_images(self, key: str) -> float:
        """Return the standard error of the mean over test images.

        A variance has a relative standard error of sqrt(2 / n). Units within two of these errors of the threshold are
        doubtful. The error of the active units is half the number of doubtful units, averaged over the trainings.
        """
        if key == "au":
            return fmean(_doubtful_units(m) for m in self.trainings)
        return (
            self.trainings[0].metrics.se[ESTIMATORS.get(key, key)]
            if len(self.trainings) == 1
            else _standard_error(_image_values(self, key))
        )


def rows_of(measured: Sequence[Measured]) -> list[Row]:
    """Return a row for each model and latent dimension, in order of appearance."""
    by_model: dict[tuple[str, int], list[Measured]] = {}
    for m in measured:
        by_model.setdefault((m.model.name, m.model.latent), []).append(m)
    return [Row(measurements) for measurements in by_model.values()]


def frame(measured: Sequence[Measured], keys: Sequence[str]) -> pd.DataFrame:
    """Return one row per model and measure.

    `ours` is the mean over `seeds` trainings, `low` and `high` their minimum and maximum, `error` the standard error
    over test images.
    """
    rows = []
    for r in rows_of(measured):
        for key in keys:
            if (paper := r.paper(key)) is not None:
                mean, values = r.mean(key), r.ours(key)
                figures = [paper, mean, r.over_images(key), mean - paper, len(values), min(values), max(values)]
                rows.append([r.model.name, r.model.latent, r.epochs, MEASURES[key], *figures])
    names = ["model", "latent", "epochs", "measure", "paper", "ours", "error", "difference", "seeds", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def order(measured: Sequence[Measured], keys: Sequence[str] = tuple(MEASURES)) -> Order:
    """Compare the order of every pair of models by every measure with the paper's.

    Both models were measured on the same test images, so the error is that of paired differences. The error over
    training seeds is added if there are several; a single training has none.
    """
    agreeing, undecided, reversed_pairs = 0, 0, []
    for key in keys:
        for a, b in combinations([r for r in rows_of(measured) if r.paper(key) is not None], 2):
            higher, lower = (a, b) if a.paper(key) > b.paper(key) else (b, a)  # pyright: ignore[reportOperatorIssue]
            if higher.paper(key) - lower.paper(key) <= TIE:  # pyright: ignore[reportOperatorIssue]
                continue
            difference, error = _difference(higher, lower, key)
            agreeing, undecided = agreeing + (difference > 2 * error), undecided + (abs(difference) <= 2 * error)
            if difference < -2 * error:
                reversed_pairs.append(
                    f"{MEASURES[key]}: in the paper {higher.label} {higher.paper(key):g} > {lower.label} "
                    f"{lower.paper(key):g}; here {higher.mean(key):.4g} < {lower.mean(key):.4g}"
                )
    return Order(agreeing, undecided, reversed_pairs)


def _difference(a: Row, b: Row, key: str) -> tuple[int | float, float]:
    """Return our value of `a` minus that of `b`, and its standard error."""
    seeds = (a.over_seeds(key), b.over_seeds(key))
    if key == "au":
        return a.mean(key) - b.mean(key), _root_sum_square(a.over_images(key), b.over_images(key), *seeds)
    paired = _image_values(a, key) - _image_values(b, key)
    return paired[~paired.isnan()].mean().item(), _root_sum_square(_standard_error(paired), *seeds)


def _image_values(row: Row, key: str) -> torch.Tensor:
    """Return each test image's value, averaged over the trainings, (n,)."""
    return torch.stack([m.per_sample[ESTIMATORS.get(key, key)].double() for m in row.trainings]).mean(dim=0)


def _standard_error(values: torch.Tensor) -> float:
    defined = values[~values.isnan()]
    return defined.std().item() / len(defined) ** 0.5


def _root_sum_square(*errors: float) -> float:
    return sum(e**2 for e in errors) ** 0.5


def _doubtful_units(m: Measured) -> float:
    width = 2 * (2 / m.metrics.n) ** 0.5
    return sum(a * (1 - width) <= ACTIVE < a * (1 + width) for a in m.metrics.activity) / 2
