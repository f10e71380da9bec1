"""Gaussian processes of many problems from given kernel matrices: of samples, whose features are no coordinates.

With one decomposition K = Q diag(l) Q' a problem, the likelihood of any variance and noise takes n operations.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lso_bench.search.gaussian_process import ENTRIES, FAILURES, minimise

STEPS = 100  # most steps of L-BFGS of a fit
LEAST_NOISE = 1e-4  # variance, as in BoTorch
NOISE, VARIANCE = (-4.0, 1.0), (0.0, 2.0)  # mean and deviation of their logarithms a priori; BoTorch's, and inferred
LEAST_VARIANCE = 1e-12  # of a posterior, where rounding makes it negative


@dataclass(frozen=True)
class Process:
    """Posteriors of a processes with covariance variance * K + noise * I, given n scores each."""

    mean: Float[Tensor, "a 1"]
    variance: Float[Tensor, "a 1"]
    noise: Float[Tensor, "a 1"]
    weights: Float[Tensor, "a n"]  # (variance * K + noise * I)^-1 (y - mean)
    root: Float[Tensor, "a n n"]  # (variance * K + noise * I)^-1 = root root'

    def predict(
        self, cross: Float[Tensor, "a m n"], diagonal: Float[Tensor, "a m"]
    ) -> tuple[Float[Tensor, "a m"], Float[Tensor, "a m"]]:
        """Return means and variances, without noise, of points with these kernel values to the n and to themselves.

        Source: Rasmussen & Williams 2006, equations 2.25 and 2.26.
        """
        cross = self.variance[..., None] * cross
        mean = self.mean + (cross @ self.weights[..., None]).squeeze(-1)
        explained = (cross @ self.root).square().sum(-1)
        return mean, (self.variance * diagonal - explained).clamp_min(LEAST_VARIANCE)


def fit(gram: Float[Tensor, "a n n"], y: Float[Tensor, "a n"]) -> tuple[Process | None, Bool[Tensor, " a"]]:
    """Return the most likely process (MAP) of each problem, and whether its fit succeeded; double precision.

    The scores are standardised ones. The mean has a flat prior; variance and noise have normal priors on their
    logarithms, and the density is that of the logarithms.
    """
    parts = [_fit_part(gram[i], y[i]) for i in torch.arange(len(y)).split(max(1, ENTRIES // y.shape[1] ** 2))]
    fitted = torch.cat([succeeded for _, succeeded in parts])
    processes = [process for process, _ in parts if process is not None]
    return _joined(processes) if processes else None, fitted


def log_exceedance(
    mean: Float[Tensor, "a m"], variance: Float[Tensor, "a m"], level: Float[Tensor, "a 1"]
) -> Float[Tensor, "a m"]:
    """Return the log probability that a normal variable is above a level."""
    return torch.special.log_ndtr((mean - level) / variance.sqrt())


def _fit_part(gram: Float[Tensor, "a n n"], y: Float[Tensor, "a n"]) -> tuple[Process | None, Bool[Tensor, " a"]]:
    """Fit a batch; where it fails, its problems one by one, without those that fail alone."""
    try:
        return _fit_batch(gram, y), torch.ones(len(y), dtype=torch.bool)
    except FAILURES:
        if len(y) == 1:
            return None, torch.zeros(1, dtype=torch.bool)
    alone = [_fit_part(gram[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    processes = [process for process, _ in alone if process is not None]
    return _joined(processes) if processes else None, torch.cat([succeeded for _, succeeded in alone])


def _fit_batch(gram: Float[Tensor, "a n n"], y: Float[Tensor, "a n"]) -> Process:
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp_min(0)
    scores, ones = ((vectors.mT @ b[..., None]).squeeze(-1) for b in (y, torch.ones_like(y)))
    logs = _most_likely(values, scores, ones)
    variance, noise = logs.exp().split(1, 1)
    spectrum = variance * values + noise
    mean = _mean(spectrum, scores, ones)
    weights = (vectors @ ((scores - mean * ones) / spectrum)[..., None]).squeeze(-1)
    return Process(mean, variance, noise, weights, vectors / spectrum.sqrt()[:, None])


def _most_likely(
    values: Float[Tensor, "a n"], scores: Float[Tensor, "a n"], ones: Float[Tensor, "a n"]
) -> Float[Tensor, "a 2"]:
    """Return the logarithms of variance and noise."""

    def loss(logs: Tensor, problems: list[int]) -> tuple[Tensor, Tensor]:
        at = logs.clone().requires_grad_()
        losses = _loss(at, values[problems], scores[problems], ones[problems])
        return losses.detach(), torch.autograd.grad(losses.sum(), at)[0]

    first = torch.tensor([VARIANCE[0], NOISE[0]], dtype=values.dtype).expand(len(values), 2).clone()
    return minimise(loss, first, [(None, None), (math.log(LEAST_NOISE), None)], STEPS)


def _loss(
    logs: Float[Tensor, "a 2"], values: Float[Tensor, "a n"], scores: Float[Tensor, "a n"], ones: Float[Tensor, "a n"]
) -> Float[Tensor, " a"]:
    """Return minus the log posterior density of the logarithms, per score, up to a constant."""
    spectrum = logs[:, :1].exp() * values + logs[:, 1:].exp()
    residual = scores - _mean(spectrum, scores, ones) * ones
    likelihood = (residual.square() / spectrum + spectrum.log()).sum(1)
    prior = sum(((logs[:, i] - m) / s).square() for i, (m, s) in enumerate((VARIANCE, NOISE)))
    return (likelihood + prior) / (2 * scores.shape[1])


def _mean(spectrum: Tensor, scores: Tensor, ones: Tensor) -> Float[Tensor, "a 1"]:
    """Return the most likely mean: generalised least squares."""
    return (ones * scores / spectrum).sum(1, keepdim=True) / (ones.square() / spectrum).sum(1, keepdim=True)


def _joined(processes: list[Process]) -> Process:
    parts = zip(*((p.mean, p.variance, p.noise, p.weights, p.root) for p in processes), strict=True)
    return Process(*(torch.cat(part) for part in parts))
