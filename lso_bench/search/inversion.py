"""Inversion: in place of a latent that was scored, the latent under which its sample is likeliest."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import PluginError, UsageError
from lso_bench.search import Problem
from lso_bench.search.space import Space

RATE = 0.1  # of Adam (the authors' code, repository mlvlab/InvBO)
POINTS = 128  # most points moved at once, to bound memory


def agreeing(
    problem: Problem, z: Float[Tensor, "k n d"], y: Float[Tensor, "k n"], steps: int
) -> Float[Tensor, "k n d"]:
    """Return latents that agree with the samples whose scores are y, by so many steps of Adam on -log p(x|z) each.

    x is the decoded sample of z, which was scored. A descent begins at the encoder's mean of x, as the authors' does,
    or at z, whichever has the higher log p(x|z) (inferred). It stays in the region, and its likeliest point is returned
    (inferred; the authors end where the likeliest tokens are those of x). Where log p(x|z) is not finite, z stays, and
    `problem.counts` counts a fallback. Without steps all z stay; so do those of problems that are over.

    Source: Chu et al. 2024, "Inversion-based Latent Bayesian Optimization" (InvBO, arXiv 2411.05330), and their code.

    Raises:
        UsageError: the problem has no model.
        PluginError: log p(x|z) has no gradient.
    """
    if not steps:
        return z
    if problem.space is None:
        raise UsageError("Inversion needs the model that decodes the latents, and this problem has none; inversion=0.")
    active = y.isfinite().all(1).nonzero()[:, 0].to(z.device)
    if not len(active):
        return z
    with problem.clock("invert"):
        points = z[active].detach()
        x = problem.space.discrete(points, active)
        parts = zip(points.flatten(0, 1).split(POINTS), x.flatten(0, 1).split(POINTS), strict=True)
        moved = torch.cat([_likeliest(problem, problem.space, *part, steps) for part in parts])
        return z.index_copy(0, active, moved.view_as(points))


def _likeliest(
    problem: Problem, space: Space, z: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"], steps: int
) -> Float[Tensor, "b d"]:
    best, highest = _first(problem, space, z, x)
    u = best.clone().requires_grad_()
    optimizer = torch.optim.Adam([u], RATE, maximize=True)
    for _ in range(steps):
        u.grad = _gradient(space, x, u)
        optimizer.step()
        with torch.no_grad():
            u.copy_(problem.region.clip(u))
            density = space.log_prob(x, u)
        better = density > highest  # NaN is not
        best, highest = torch.where(better[:, None], u.detach(), best), torch.where(better, density, highest)
    _count(problem, "gradients", steps * len(z))
    _count(problem, "inversion_fallbacks", int((~highest.isfinite()).sum()))
    return torch.where(highest.isfinite()[:, None], best, z)


@torch.no_grad()
def _first(
    problem: Problem, space: Space, z: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]
) -> tuple[Float[Tensor, "b d"], Float[Tensor, " b"]]:
    """Return where descents begin, and log p(x|z) there; minus infinity where it is not finite."""
    encoded = problem.region.clip(space.means(x))
    densities = torch.stack([space.log_prob(x, z), space.log_prob(x, encoded)]).nan_to_num(-torch.inf, -torch.inf)
    return torch.where((densities[1] > densities[0])[:, None], encoded, z), densities.amax(0)


def _gradient(space: Space, x: Float[Tensor, "b *shape"], u: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Return the gradient of log p(x|z); 0 for a point where it is not finite."""
    with torch.enable_grad():
        density = space.log_prob(x, u)
    if not density.requires_grad:
        raise PluginError("Inversion needs the gradient of log p(x|z), and the model's log_prob has none; inversion=0.")
    gradient = torch.autograd.grad(density.sum(), u)[0]
    return gradient.masked_fill(~gradient.isfinite().all(1, keepdim=True), 0)


def _count(problem: Problem, name: str, number: int) -> None:
    problem.counts[name] = problem.counts.get(name, 0) + number
