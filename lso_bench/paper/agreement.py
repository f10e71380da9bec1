"""A table's rows: each model's trainings beside the paper's figures, and whether the models stand in its order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev

import pandas as pd
import torch

from lso_bench.models.measurements import Measured
from lso_bench.paper.published import TABLE_1, TABLE_2
from lso_bench.vae.metrics import ACTIVE
from lso_bench.vae.zoo import Model

MEASURES = {"nelbo": "-ELBO", "kl": "KL", "mi": "MI", "au": "AU"}  # in Table 1
OURS = {"mi": "mi_b50"}  # the estimator that the paper very likely used
TIE = 0.02  # nats: closer figures of the paper give no order (MI stops at 3.86 and 3.87)


@dataclass(frozen=True)
class Order:
    """Pairs of models and measures whose order the paper gives, and whether ours have the same."""

    agreeing: int
    undecided: int  # ours within two standard errors of their difference
    reversed_pairs: list[str]  # a line each


@dataclass(frozen=True)
class Row:
    """One model, trained by one seed or by several, and measured on the same images."""

    each: Sequence[Measured]  # a training each

    @property
    def model(self) -> Model:
        return self.each[0].model

    @property
    def label(self) -> str:
        return self.model.name if self.model.latent == 32 else f"{self.model.name} (d = {self.model.latent})"

    @property
    def epochs(self) -> int | None:
        """Of every training; None where they differ, or it is not known."""
        first, *more = {m.made_by["epochs"] for m in self.each}
        return None if more else first

    def paper(self, key: str) -> int | float | None:
        """What the paper prints of this model, if anything."""
        if self.model.latent == 32:
            return getattr(TABLE_1[self.model.name], key)
        return TABLE_2[self.model.name][self.model.latent] if key == "au" else None

    def ours(self, key: str) -> list[int | float]:
        """Of each training."""
        return [getattr(m.metrics, OURS.get(key, key)) for m in self.each]

    def mean(self, key: str) -> int | float:
        values = self.ours(key)
        return values[0] if len(values) == 1 else fmean(values)

    def over_seeds(self, key: str) -> float:
        """Standard error of the mean over trainings; 0 where there is one, which says nothing about it."""
        values = self.ours(key)
        return stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    def over_images(self, key: str) -> float:
        """Standard error of the mean over test images. A variance is known to sqrt(2 / n) of itself: of the active
        units, half as many are doubtful as lie within two such errors of the threshold (of several trainings on the
        same images: their mean).
        """
        if key == "au":
            return fmean(_doubtful(m) for m in self.each)
        return self.each[0].metrics.se[OURS.get(key, key)] if len(self.each) == 1 else _error(_images(self, key))


def rows_of(found: Sequence[Measured]) -> list[Row]:
    """A row for each model and size, in their order."""
    by_model: dict[tuple[str, int], list[Measured]] = {}
    for m in found:
        by_model.setdefault((m.model.name, m.model.latent), []).append(m)
    return [Row(each) for each in by_model.values()]


def frame(found: Sequence[Measured], keys: Sequence[str]) -> pd.DataFrame:
    """A row a figure: ours the mean over `seeds` trainings, `low` and `high` the least and the most of them, `error`
    the standard error over test images.
    """
    rows = []
    for r in rows_of(found):
        for key in keys:
            if (paper := r.paper(key)) is not None:
                own, each = r.mean(key), r.ours(key)
                figures = [paper, own, r.over_images(key), own - paper, len(each), min(each), max(each)]
                rows.append([r.model.name, r.model.latent, r.epochs, MEASURES[key], *figures])
    names = ["model", "latent", "epochs", "measure", "paper", "ours", "error", "difference", "seeds", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def order(found: Sequence[Measured], keys: Sequence[str] = tuple(MEASURES)) -> Order:
    """Every pair of models by every measure. The same test images measured both, so the error is that of the paired
    differences, and beside it that over seeds, where there are several; of one it says nothing about other trainings.
    """
    same, undecided, other = 0, 0, []
    for key in keys:
        for a, b in combinations([r for r in rows_of(found) if r.paper(key) is not None], 2):
            more, less = (a, b) if a.paper(key) > b.paper(key) else (b, a)  # pyright: ignore[reportOperatorIssue]
            if more.paper(key) - less.paper(key) <= TIE:  # pyright: ignore[reportOperatorIssue]
                continue
            difference, error = _difference(more, less, key)
            same, undecided = same + (difference > 2 * error), undecided + (abs(difference) <= 2 * error)
            if difference < -2 * error:
                other.append(
                    f"{MEASURES[key]}: in the paper {more.label} {more.paper(key):g} > {less.label} "
                    f"{less.paper(key):g}; here {more.mean(key):.4g} < {less.mean(key):.4g}"
                )
    return Order(same, undecided, other)


def _difference(a: Row, b: Row, key: str) -> tuple[int | float, float]:
    """Ours of `a` minus that of `b`, and its standard error."""
    seeds = (a.over_seeds(key), b.over_seeds(key))
    if key == "au":
        return a.mean(key) - b.mean(key), _length(a.over_images(key), b.over_images(key), *seeds)
    paired = _images(a, key) - _images(b, key)
    return paired[~paired.isnan()].mean().item(), _length(_error(paired), *seeds)


def _images(row: Row, key: str) -> torch.Tensor:
    """Each test image's figure, the mean over the trainings, (n,)."""
    return torch.stack([m.each[OURS.get(key, key)].double() for m in row.each]).mean(dim=0)


def _error(values: torch.Tensor) -> float:
    there = values[~values.isnan()]
    return there.std().item() / len(there) ** 0.5


def _length(*errors: float) -> float:
    return sum(e**2 for e in errors) ** 0.5


def _doubtful(m: Measured) -> float:
    width = 2 * (2 / m.metrics.n) ** 0.5
    return sum(a * (1 - width) <= ACTIVE < a * (1 + width) for a in m.metrics.activity) / 2
