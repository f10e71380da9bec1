"""Mutation and crossover of images: no latent space."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.evolution import Points, evolve


@dataclass(frozen=True)
class ImageGA(Searcher):
    """Genetic algorithm of images; it begins with training samples.

    A pixel x becomes 1 - x: the bit flip of binary strings (Holland 1975, chapter 6). Of a colour image each channel
    changes by itself (inferred). An offspring of two parents is the first with a rectangle of the second (Kane &
    Schoenauer 1996, block crossover). What would equal the first parent has at least one change. Rates and sizes are
    inferred.
    """

    population: int = 20  # best images so far that have offspring
    offspring: int = 10  # images scored together
    mutation: float = 0.01  # chance of each pixel to change
    crossover: float = 0.5  # chance of an offspring to have two parents
    space = "samples"
    takes = "images"
    earlier: ClassVar[Mapping[str, str]] = {"f36a4b3c53838bce": ""}

    def __post_init__(self):
        at_least(self, 2, "population", most=10_000)
        at_least(self, 1, "offspring", most=10_000)
        above(self, 0, "mutation", most=1)
        at_least(self, 0, "crossover", most=1)

    def design(self, d: int) -> int:
        return self.population

    def search(self, problem: Problem) -> Generator[Points, Float[Tensor, "k n"], None]:
        assert problem.samples is not None, "a searcher of samples gets training samples"
        return evolve(problem, self.population, self.offspring, partial(self._vary, problem.samples.shape))

    def _vary(self, shape: tuple[int, ...], first: Points, second: Points, seeded: torch.Generator) -> Points:
        crossed = torch.rand(first.shape[:2], generator=seeded) < self.crossover
        exchanged = rectangles(first.shape[:2], shape, seeded) & crossed[..., None]
        joined = torch.where(exchanged.to(first.device), second, first)
        chance = torch.rand(first.shape, generator=seeded).to(first.device)
        surely = (chance == chance.amin(-1, keepdim=True)) & (joined == first).all(-1, keepdim=True)
        return torch.where((chance < self.mutation) | surely, 1 - joined, joined)


def rectangles(count: tuple[int, ...], shape: tuple[int, ...], seeded: torch.Generator) -> Bool[Tensor, "k n d"]:
    """Draw a rectangle of an image, in all its channels, for each of `count` offspring.

    Its ends are uniform in each direction.
    """
    channels, h, w = shape
    rows, columns = (_between(torch.rand(*count, 2, generator=seeded), size) for size in (h, w))
    return (rows[..., :, None] & columns[..., None, :]).flatten(-2).repeat(*[1] * len(count), channels)


def _between(ends: Float[Tensor, "k n 2"], size: int) -> Bool[Tensor, "k n s"]:
    """Return which of `size` places lie between two ends, which are shares of it; one at least."""
    low, high = (ends.sort(-1).values * size).long().unbind(-1)
    places = torch.arange(size)
    return (places >= low[..., None]) & (places <= high[..., None])
