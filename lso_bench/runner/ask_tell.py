"""Exchange with a searcher: ask it for points, then send it their scores."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.random_numbers import Stream
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.search import Problem, Searcher, check_finite, check_leaf, check_points

SLACK = 1e-4  # relative distance by which a point may lie outside the region, because of rounding


class Turns:
    """Search in progress; global random numbers that the searcher draws are seeded by the problem's seed."""

    def __init__(self, searcher: Searcher, problem: Problem):
        self._searcher, self._problem, self._draws = searcher, problem, Stream(problem.seed)
        with plugin_errors("searcher", searcher, self._draws):
            self._generator = searcher.search(problem)

    def ask(self, y: Float[Tensor, "k m"] | None, active: Int[Tensor, " a"]) -> Float[Tensor, "k n d"]:
        """Return the points to score next; NaN if the searcher has no further points.

        Args:
            y: the scores of the previous points.
            active: the indices of the problems that are not over.

        Raises:
            PluginError: it raises, or its points have not the shape and dtype of the starts, are not finite, or are
                outside the region.
        """
        with plugin_errors("searcher", self._searcher, self._draws):
            try:
                z: object = next(self._generator) if y is None else self._generator.send(y)
            except StopIteration:
                return torch.full_like(self._problem.starts, torch.nan)
            return self._checked(check_points(z, self._problem.starts), active)

    def close(self) -> None:
        """End the search.

        Raises:
            PluginError: the searcher raises at its end.
        """
        with plugin_errors("searcher", self._searcher, self._draws):
            self._generator.close()

    def _checked(self, z: Float[Tensor, "k n d"], active: Int[Tensor, " a"]) -> Float[Tensor, "k n d"]:
        points = z.detach()[active]
        check_finite(points)
        if self._searcher.needs_gradient and not points.isnan().all():
            check_leaf(z)
        distance = (self._problem.region.clip(points) - points).abs()  # NaN for problems without further points
        if (distance > SLACK * (1 + points.abs())).any():
            furthest = distance.nan_to_num().max()
            raise ValueError(f"wanted points inside the region, got one {furthest:.2g} outside; clip them")
        return z
