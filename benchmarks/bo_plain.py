"""Searches of one problem after another by published recipes, which `bo.py` compares with searches in one batch.

Each begins with points (n, d) that were scored already, and returns these and its own up to `evaluations`. Latents lie
in a box of 3. `score` maps points (n, d) to scores (n).
"""

import random
from collections.abc import Callable
from typing import Any

import torch
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor, nn

from lso_bench.search.gaussian_process import standardised
from lso_bench.search.perceptrons import HIDDEN, RATE, SPREAD
from lso_bench.searchers.ascent import Ascent
from lso_bench.searchers.bo import LEADERS, NEAR
from lso_bench.searchers.latent_ga import LatentGA

Score = Callable[[Tensor], Tensor]


def latent_ga(z: Tensor, score: Score, evaluations: int, searcher: LatentGA) -> Tensor:
    """Evolve lists of numbers, an individual at a time, as scripts of genetic algorithms do."""
    points = z.tolist()
    population = [*zip(score(z).tolist(), points, strict=True)]
    while len(points) < evaluations:
        children = [_child(_winner(population), _winner(population), searcher) for _ in range(searcher.population)]
        population += zip(score(torch.tensor(children)).tolist(), children, strict=True)
        population = sorted(population, reverse=True)[: searcher.population]
        points += children
    return torch.tensor(points[:evaluations])


def _winner(population: list[tuple[float, list[float]]]) -> list[float]:
    return max(random.choice(population), random.choice(population))[1]


def _child(first: list[float], second: list[float], searcher: LatentGA) -> list[float]:
    low, high = -searcher.blend, 1 + searcher.blend
    genes = [a + random.uniform(low, high) * (b - a) for a, b in zip(first, second, strict=True)]
    genes = [x + (random.random() < searcher.rate) * random.gauss(0, searcher.sigma) for x in genes]
    return [min(max(x, -3.0), 3.0) for x in genes]


def ascent(z: Tensor, score: Score, evaluations: int, searcher: Ascent) -> Tensor:
    """Climb what one surrogate predicts: a module of torch and its optimizer, or BoTorch's process."""
    network = nn.Sequential(
        nn.Linear(z.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    while len(z) < evaluations:
        u, y = (z.double() + 3) / 6, standardised(score(z).double()[None])[0]
        if searcher.surrogate == "mlp":
            predict = _trained(network, optimizer, u, y, searcher.training)
        else:
            predict = _posterior_mean(u, y)
        z = torch.cat([z, _ends(predict, u, y, searcher).to(z)])
    return z[:evaluations]


def _trained(network: nn.Module, optimizer: torch.optim.Optimizer, u: Tensor, y: Tensor, steps: int) -> Score:
    def predict(x: Tensor) -> Tensor:
        return network(SPREAD * (x.float() - 0.5))[:, 0]

    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(predict(u), y.float()).backward()
        optimizer.step()
    return predict


def _posterior_mean(u: Tensor, y: Tensor) -> Score:
    gp: Any = SingleTaskGP(u, y[:, None], outcome_transform=None)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(gp.likelihood, gp))
    return lambda x: gp.posterior(x).mean[:, 0]


def _ends(predict: Score, u: Tensor, y: Tensor, searcher: Ascent) -> Tensor:
    """Return the latents with the highest predictions; half of the ascents begin near the best points."""
    half = searcher.ascents // 2
    best = u[y.topk(LEADERS).indices[torch.randint(LEADERS, (half,))]]
    first = torch.cat([torch.rand(searcher.ascents - half, u.shape[1]).double(), best + NEAR * torch.randn_like(best)])
    z = (6 * first.clamp(0, 1) - 3).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=searcher.rate, maximize=True)
    for _ in range(searcher.steps):
        z.grad = torch.autograd.grad(predict((z + 3) / 6).sum(), z)[0]
        optimizer.step()
        z.data.clamp_(-3, 3)
    with torch.no_grad():
        return z[predict((z + 3) / 6).topk(searcher.q).indices]
