"""A search in turns: points from the searcher, then their scores to it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.calls import plugin_errors
from lso_bench.search import Problem, Searcher, check_leaf, check_points
from lso_bench.vae.random_numbers import Stream

SLACK = 1e-4  # share of a coordinate by which a point may lie outside the region, for rounding


class Turns:
    """A search under way; global random numbers that the searcher draws are seeded by the problem's seed."""

    def __init__(self, searcher: Searcher, problem: Problem):
        self._searcher, self._problem, self._draws = searcher, problem, Stream(problem.seed)
        with plugin_errors("searcher", searcher, self._draws):
            self._generator = searcher.search(problem)

    def ask(self, y: Float[Tensor, "k m"] | None, there: Int[Tensor, " a"]) -> Float[Tensor, "k n d"]:
        """Return the points to score next, NaN where the searcher has no more to ask.

        Args:
            y: the scores of the points before.
            there: the problems that have not left.

        Raises:
            PluginError: it raises, or its points are not of the shape and dtype of the starts, or outside the region.
        """
        with plugin_errors("searcher", self._searcher, self._draws):
            try:
                z: object = next(self._generator) if y is None else self._generator.send(y)
            except StopIteration:
                return torch.full_like(self._problem.starts, torch.nan)
            return self._taken(check_points(z, self._problem.starts), there)

    def close(self) -> None:
        """End the search.

        Raises:
            PluginError: it raises at its end.
        """
        with plugin_errors("searcher", self._searcher, self._draws):
            self._generator.close()

    def _taken(self, z: Float[Tensor, "k n d"], there: Int[Tensor, " a"]) -> Float[Tensor, "k n d"]:
        points = z.detach()[there]
        if self._searcher.needs_gradient and not points.isnan().all():
            check_leaf(z)
        away = (self._problem.region.clip(points) - points).abs()  # NaN where there is no more to ask
        if (away > SLACK * (1 + points.abs())).any():
            furthest = away.nan_to_num().max()
            raise ValueError(f"wanted points inside the region, got one {furthest:.2g} outside; clip them")
        return z
