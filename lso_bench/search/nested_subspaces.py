"""Random subspaces of the unit cube, each containing those of earlier levels (Papenmeier et al. 2022, section 3.1)."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.search.region import Region


class Subspaces:
    """Nested subspaces through the cube's centre, drawn for each of k problems.

    A coordinate of a subspace moves a bin of dimensions, each with a random sign. All problems have bins of the same
    sizes: a random order of the dimensions is cut into equal parts, and these are cut further from level to level.
    """

    def __init__(self, k: int, d: int, new_bins: int, region: Region, chance: torch.Generator):
        self.bins = nested_bins(d, new_bins)
        order = torch.rand(k, d, generator=chance).argsort(1)
        self.rank: Int[Tensor, "k d"] = order.argsort(1)  # of each dimension, in the order that is cut
        self.sign: Float[Tensor, "k d"] = 2 * torch.randint(2, (k, d), generator=chance).double() - 1
        self._first = [order[:, _first_positions(bins)] for bins in self.bins]  # (k, e) a dimension of each bin
        largest = [int(bins.bincount().max()) for bins in self.bins]
        self._scale = [
            1.0 if region.radius is None else n**-0.5 for n in largest
        ]  # so that a ball has room for an axis

    @property
    def dimensions(self) -> list[int]:
        """Numbers of coordinates of the levels."""
        return [int(bins.max()) + 1 for bins in self.bins]

    def lift(self, y: Float[Tensor, "b n e"], level: int, problems: Int[Tensor, " b"]) -> Float[Tensor, "b n d"]:
        """Return the points of the cube at coordinates of a level's subspaces, which are in the unit cube."""
        bins = self.bins[level][self.rank[problems]].unsqueeze(1).expand(-1, y.shape[1], -1)  # (b, n, d)
        return 0.5 + self._scale[level] * self.sign[problems].unsqueeze(1) * (y - 0.5).gather(2, bins)

    def lower(self, u: Float[Tensor, "b n d"], level: int, problems: Int[Tensor, " b"]) -> Float[Tensor, "b n e"]:
        """Return the coordinates of points of these subspaces, or of those of an earlier level."""
        dimensions = self._first[level][problems]  # (b, e)
        sign = self.sign[problems].gather(1, dimensions).unsqueeze(1)
        offset = (u - 0.5).gather(2, dimensions.unsqueeze(1).expand(-1, u.shape[1], -1))
        return 0.5 + sign * offset / self._scale[level]


def nested_bins(d: int, new_bins: int) -> list[Int[Tensor, " d"]]:
    """Return for each level the bin of each of d places: from few bins of many places to d bins of one.

    A level's bins are cut into `new_bins` + 1 each. The first level has as many bins, at most `new_bins`, as make the
    last cut end closest to d (the authors' `adjust_initial_target_dim`).
    """
    cuts = new_bins + 1
    first = min(range(1, new_bins + 1), key=lambda n: abs(n * cuts ** round(math.log(d / n, cuts)) - d))
    levels = [[*torch.arange(d).tensor_split(min(first, d))]]
    while len(levels[-1]) < d:
        levels.append([part for places in levels[-1] for part in places.tensor_split(min(cuts, len(places)))])
    return [torch.repeat_interleave(torch.tensor([len(part) for part in parts])) for parts in levels]


def _first_positions(bins: Int[Tensor, " d"]) -> Int[Tensor, " e"]:
    return torch.searchsorted(bins, torch.arange(int(bins.max()) + 1))
