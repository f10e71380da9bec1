"""Training samples of a run's data set, for searchers whose points are samples."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lso_bench.vae.data import as_model_input
from lso_bench.vae.default_architecture import is_of_sequences

NO_ROW = -1  # in place of a row, where there is none


def kind_of(shape: tuple[int, ...], likelihood: str) -> str:
    """Return what samples of this shape and likelihood are: sequences, images or vectors."""
    if is_of_sequences(likelihood):
        return "sequences"
    return "images" if len(shape) == 3 else "vectors"


@dataclass(frozen=True)
class TrainingSamples:
    """Training samples as they are stored, and which of them the starts of k problems are."""

    stored: Shaped[Tensor, "t *stored"]
    shape: tuple[int, ...]  # of a sample as a model gets it, and as a task scores it
    likelihood: str
    start_rows: Int[Tensor, "k m"]  # rows of the starts; `NO_ROW` for a start that is no training sample

    @property
    def kind(self) -> str:
        return kind_of(self.shape, self.likelihood)

    def orders(self, generator: torch.Generator) -> Int[Tensor, "k t"]:
        """Return the rows in an order drawn for each problem, without those of its starts; the end is `NO_ROW`."""
        t, orders = len(self.stored), torch.full((len(self.start_rows), len(self.stored)), NO_ROW, dtype=torch.int32)
        for order, starts in zip(orders, self.start_rows, strict=True):
            rows = torch.randperm(t, generator=generator).to(orders)
            rows = rows[~torch.isin(rows, starts.to(rows))]
            order[: len(rows)] = rows
        return orders

    def points(
        self, rows: Int[Tensor, "k n"], generator: torch.Generator, like: Float[Tensor, "..."]
    ) -> Float[Tensor, "k n d"]:
        """Return training samples as points, with the device and dtype of `like`; NaN for `NO_ROW`.

        Bernoulli samples are drawn from their grey levels, as in training.
        """
        x = as_model_input(self.stored[rows.clamp(min=0).flatten().long()], self.likelihood, generator)
        points = x.flatten(1).unflatten(0, rows.shape).to(like)
        return points.masked_fill((rows == NO_ROW)[..., None].to(like.device), torch.nan)
