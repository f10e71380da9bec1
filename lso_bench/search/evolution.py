"""Evolution of samples: the best ones so far have offspring, from one parent or from two."""

from collections.abc import Callable, Generator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.search import Problem
from lso_bench.search.training_samples import NO_ROW

Points = Float[Tensor, "k n d"]
Scores = Float[Tensor, "k n"]
Vary = Callable[[Points, Points, torch.Generator], Points]  # offspring of first and second parents


def evolve(problem: Problem, population: int, offspring: int, vary: Vary) -> Generator[Points, Scores, None]:
    """Yield the starts, training samples up to `population` in all, then `offspring` points a generation, for ever.

    Parents are drawn uniformly from the `population` best distinct points so far. Of equal scores newer ones are
    preferred, so that a population moves on level ground. Source: the (mu + lambda) selection of evolution strategies
    (Schwefel 1981); what else is here is inferred.
    """
    assert problem.samples is not None, "a searcher of samples gets training samples"
    z, seeded = problem.starts, torch.Generator().manual_seed(problem.seed)
    y = yield z
    rows = problem.samples.orders(seeded)[:, : max(0, population - z.shape[1])]
    if (rows := rows[:, (rows != NO_ROW).all(0)]).shape[1]:
        training = problem.samples.points(rows, seeded, z)
        y = torch.cat([(yield training), y], 1)
        z = torch.cat([training, z], 1)
    while True:
        z, y, sizes = _best(z, y, population)
        share = torch.rand(len(z), 2 * offspring, generator=seeded).to(z.device)
        parents = (share * sizes[:, None]).long()[..., None].expand(-1, -1, z.shape[2])
        children = vary(*z.gather(1, parents).split(offspring, 1), seeded)
        y = torch.cat([(yield children), y], 1)
        z = torch.cat([children, z], 1)


def _best(z: Points, y: Scores, count: int) -> tuple[Float[Tensor, "k b d"], Float[Tensor, "k b"], Int[Tensor, " k"]]:
    """Return the best points of each problem and their scores, best first, and how many of these `count` are distinct.

    Of a problem that is over, whose scores are NaN, one counts.
    """
    ranked, order = (
        y.nan_to_num(-torch.inf).masked_fill(_repeats(z), -torch.inf).sort(dim=1, descending=True, stable=True)
    )
    order, sizes = order[:, :count], (ranked[:, :count] > -torch.inf).sum(1).clamp(min=1)
    return z.gather(1, order[..., None].expand(-1, -1, z.shape[2])), y.gather(1, order), sizes


def _repeats(z: Points) -> Bool[Tensor, "k n"]:
    """Return whether a point stands before in its problem; points are compared by a random projection."""
    direction = torch.randn(z.shape[2], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value = (z.double() * direction.to(z.device)).sum(-1)
    matches = value[:, :, None] == value[:, None, :]
    return torch.tril(matches, diagonal=-1).any(2)
