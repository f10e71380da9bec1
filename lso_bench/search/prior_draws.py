"""Draws from the prior N(0, I) inside a region."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lso_bench.search.region import Region

TRIES = 100  # of a draw inside a ball
ROUNDING = 1e-6  # by which a point on the edge may seem outside


def are_inside(region: Region, u: Float[Tensor, "*n d"]) -> Bool[Tensor, "*n"]:
    """Return whether points, on the CPU, lie in a region."""
    return (_on_cpu(region).clip(u) - u).abs().amax(-1) <= ROUNDING


def draws_inside(
    region: Region, k: int, n: int, d: int, generator: torch.Generator, tries: int = TRIES
) -> Float[Tensor, "k n d"]:
    """Return n points for each problem, drawn from N(0, I) restricted to the region, in double precision on the CPU.

    In a ball a draw outside is drawn again, `tries` times at most; then it is uniform in the ball (inferred), which
    such a small ball hardly tells from the prior.
    """
    if region.radius is None:
        return _in_bounds(region, _uniform(k, n, d, generator))
    points = _on_cpu(region).spread(_uniform(k, n, d, generator))
    missing = torch.ones(k, n, dtype=torch.bool)
    for _ in range(tries):
        drawn = _in_bounds(region, _uniform(k, n, d, generator))
        accepted = missing & are_inside(region, drawn)
        points, missing = torch.where(accepted[..., None], drawn, points), missing & ~accepted
    return _on_cpu(region).clip(points)


def _uniform(k: int, n: int, d: int, generator: torch.Generator) -> Float[Tensor, "k n d"]:
    return torch.rand(k, n, d, generator=generator, dtype=torch.float64)


def _in_bounds(region: Region, uniform: Float[Tensor, "k n d"]) -> Float[Tensor, "k n d"]:
    """Return the quantiles of N(0, I) restricted to the bounding box."""
    if region.low is None or region.high is None:
        return torch.special.ndtri(uniform)
    low, high = _on_cpu(region).bounds
    first, last = torch.special.ndtr(low), torch.special.ndtr(high)
    return torch.special.ndtri(first + (last - first) * uniform).clamp(low, high)


def _on_cpu(region: Region) -> Region:
    if region.low is None or region.high is None:
        return region
    return Region(region.low.cpu().double(), region.high.cpu().double(), region.radius)
