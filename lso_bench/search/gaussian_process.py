"""Gaussian processes of many independent problems, fitted and searched as one batch.

Each problem has separate lengthscales, noise and mean, and separate line searches in the fit and in the maximisation of
its acquisition. Only the arithmetic is shared. Nothing is copied over restarts: 50 problems of 500 points need no more
memory than their kernel matrices.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from botorch.acquisition import AcquisitionFunction, LogExpectedImprovement, qLogExpectedImprovement
from botorch.models import SingleTaskGP
from botorch.models.model import Model
from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched
from botorch.posteriors import GPyTorchPosterior
from botorch.sampling import SobolQMCNormalSampler
from botorch.settings import validate_input_scaling
from gpytorch.distributions import MultivariateNormal
from jaxtyping import Bool, Float, Int
from linear_operator.utils.cholesky import psd_safe_cholesky
from linear_operator.utils.errors import NanError, NotPSDError
from torch import Tensor

from lso_bench.search import kernels

ENTRIES = (
    1_000_000  # most entries of kernel matrices in one batch, 8 MB each; larger batches are split, and stay in caches
)
CORRECTIONS = 40  # that L-BFGS remembers; more than its usual 10 halve the steps for the linear kernel
FLAT = 1e-12  # share of the largest absolute score; a smaller spread of scores is rounding error
JITTER = 1e-6  # added to the diagonal of a joint posterior before sampling
SAMPLES = 128  # samples of the outcomes of several points, for qLogEI
FAILURES = (NanError, NotPSDError, torch.linalg.LinAlgError)


class Surrogates(Model):
    """Posteriors of a fitted processes, as one BoTorch model of batch shape (a)."""

    def __init__(self, gps: SingleTaskGP, kernel: str = "rbf"):
        super().__init__()
        self.gps: Any = gps.eval()
        self.kernel = kernel
        self.x: Float[Tensor, "a n d"] = self.gps.train_inputs[0]
        with torch.no_grad():
            noise = self.gps.likelihood.noise.unsqueeze(-1) * torch.eye(self.x.shape[1]).to(self.x)
            self.root = torch.linalg.cholesky(self.gps.covar_module(self.x).to_dense() + noise)  # (a, n, n)
            residual = self.gps.train_targets - self.gps.mean_module(self.x)
            self.weights = torch.cholesky_solve(residual.unsqueeze(-1), self.root)

    @property
    def num_outputs(self) -> int:
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        return self.x.shape[:1]

    def posterior(self, X: Float[Tensor, "*r a q d"], *_, **__) -> GPyTorchPosterior:  # noqa: N803, BoTorch's name
        """Compute the joint posterior of q points.

        Source: Rasmussen & Williams 2006, algorithm 2.1.
        """
        *r, a, q, d = X.shape
        points = X.reshape(-1, a, q, d).transpose(0, 1).flatten(1, 2)  # (a, r q, d)
        cross = self.gps.covar_module(self.x, points).to_dense()  # (a, n, r q)
        mean = self.gps.mean_module(points) + (cross.transpose(1, 2) @ self.weights).squeeze(-1)
        half = torch.linalg.solve_triangular(self.root, cross, upper=False).unflatten(2, (-1, q)).transpose(1, 2)
        groups = points.unflatten(1, (-1, q))  # (a, r, q, d)
        covariance = self._kernel(groups) - half.transpose(-1, -2) @ half  # (a, r, q, q)
        mean = mean.unflatten(1, (-1, q)).transpose(0, 1).reshape(*r, a, q)
        covariance = covariance.transpose(0, 1).reshape(*r, a, q, q)
        return GPyTorchPosterior(MultivariateNormal(mean, covariance + JITTER * torch.eye(q).to(X)))

    def mean(self, points: Float[Tensor, "a m d"]) -> Float[Tensor, "a m"]:
        """Return the posterior means of points of each problem."""
        cross = self.gps.covar_module(self.x, points).to_dense()  # (a, n, m)
        return self.gps.mean_module(points) + (cross.transpose(1, 2) @ self.weights).squeeze(-1)

    def subset(self, problems: Int[Tensor, " b"]) -> "Surrogates":
        """Return the processes of some of the problems."""
        gps = _processes(self.x[problems], self.gps.train_targets[problems], self.kernel)
        _set_hyperparameters(gps, _hyperparameters(self.gps)[problems])
        return Surrogates(gps, self.kernel)

    @property
    def lengthscales(self) -> Float[Tensor, "a d"]:
        return self.gps.covar_module.lengthscale.detach().squeeze(-2)

    def _kernel(self, points: Float[Tensor, "a r q d"]) -> Float[Tensor, "a r q q"]:
        """Compute the kernel among the points of each group."""
        if points.shape[2] == 1:
            return self.gps.covar_module(points.squeeze(2), diag=True)[..., None, None]
        matrices = [self.gps.covar_module(points[:, i]).to_dense() for i in range(points.shape[1])]
        return torch.stack(matrices, 1)


@dataclass(frozen=True)
class Fit:
    """Fitted processes of the problems whose fit succeeded."""

    model: Surrogates | None  # of the problems in `fitted`; None if there are none
    fitted: Bool[Tensor, " a"]


def fit(x: Float[Tensor, "a n d"], y: Float[Tensor, "a n"], steps: int, kernel: str = "rbf") -> Fit:
    """Fit the most likely process (MAP) of each problem to its points in the unit cube and its scores, standardised.

    Kernels and priors are those of `kernels.build`. Each problem takes at most `steps` steps of L-BFGS from BoTorch's
    initial values, and ends earlier where it has converged. A problem whose fit fails alone and with jitter is left
    out.
    """
    x, y = x.double(), standardised(y.double())
    size = max(1, ENTRIES // x.shape[1] ** 2)
    parts = [_fit_part(x[i], y[i], steps, kernel) for i in torch.arange(len(x)).split(size)]
    settings, fitted = (torch.cat(p) for p in zip(*parts, strict=True))
    if not fitted.any():
        return Fit(None, fitted)
    gps = _processes(x[fitted], y[fitted], kernel)
    _set_hyperparameters(gps, settings[fitted])
    return Fit(Surrogates(gps, kernel), fitted)


def standardised(y: Float[Tensor, "a n"]) -> Float[Tensor, "a n"]:
    """Scale scores to mean 0 and standard deviation 1, for any unit; equal scores become 0."""
    spread = y.std(1, keepdim=True)
    flat = spread <= FLAT * y.abs().amax(1, keepdim=True)  # false for NaN, which stays
    return ((y - y.mean(1, keepdim=True)) / spread).masked_fill(flat, 0.0)


def proposed(
    model: Surrogates, propose: Callable[[Surrogates, Int[Tensor, " b"]], Float[Tensor, "b q d"]]
) -> tuple[Int[Tensor, " c"], Float[Tensor, "c q d"]]:
    """Return the problems of `model` for which `propose` succeeded, and the proposed points.

    If the batch fails (a posterior that is not positive definite), the problems are done one by one, without those
    that fail alone.
    """
    problems, no_points = torch.arange(len(model.x)), model.x[:0, :1]
    try:
        return problems, propose(model, problems)
    except FAILURES:
        if len(problems) == 1:
            return problems[:0], no_points
    proposals = [proposed(model.subset(i), lambda surrogate, _, i=i: propose(surrogate, i)) for i in problems.split(1)]
    done = [(i, points) for i, (_, points) in zip(problems.split(1), proposals, strict=True) if len(points)]
    return torch.cat([problems[:0], *(i for i, _ in done)]), torch.cat([p for _, p in done]) if done else no_points


def log_ei(model: Surrogates, q: int) -> AcquisitionFunction:
    """Return log expected improvement over the best score of each problem (Ament et al. 2023, arXiv 2310.20708)."""
    best = model.gps.train_targets.amax(1)
    if q == 1:
        return LogExpectedImprovement(model, best_f=best.unsqueeze(-1))
    return qLogExpectedImprovement(model, best, sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=0))


class Inside(AcquisitionFunction):
    """Acquisition at the points that `inside` maps points of the unit cube to, which lie in the region."""

    def __init__(self, acquisition: AcquisitionFunction, inside: Callable[[Tensor], Tensor]):
        super().__init__(acquisition.model)
        self.acquisition, self.inside = acquisition, inside

    def forward(self, X: Float[Tensor, "*r q d"]) -> Float[Tensor, "*r"]:  # noqa: N803, BoTorch's name
        return self.acquisition(self.inside(X))


@torch.no_grad()  # a graph would keep the matrices of every part
def draws(model: Surrogates, u: Float[Tensor, "a c d"], noise: Float[Tensor, "a c q"]) -> Float[Tensor, "a c q"]:
    """Draw q functions of each posterior at c points, from the standard normal `noise` and their joint distribution."""
    samples = []
    for i in torch.arange(len(u)).split(max(1, ENTRIES // u.shape[1] ** 2)):
        joint = model.subset(i).posterior(u[i]).distribution
        root = psd_safe_cholesky(joint.covariance_matrix)
        samples.append(joint.mean.unsqueeze(-1) + root @ noise[i])
    return torch.cat(samples)


def maximise(
    acquisition: AcquisitionFunction, raw: Float[Tensor, "r a q d"], restarts: int, steps: int
) -> Float[Tensor, "a q d"]:
    """Return the best points of each problem in the unit cube: L-BFGS from the best `restarts` of its `raw` points."""
    with torch.no_grad():
        size = max(1, 10 * ENTRIES // (raw.shape[1] * raw.shape[2] * _count_points(acquisition)))
        values = torch.cat([acquisition(part) for part in raw.split(size)])  # (r, a)
    chosen = values.topk(min(restarts, len(raw)), 0).indices  # (s, a)
    begin = raw.gather(0, chosen[..., None, None].expand(-1, -1, *raw.shape[2:]))  # (s, a, q, d)

    last = begin.flatten(0, 1).flatten(1)

    def loss(part: Tensor, indices: list[int]) -> tuple[Tensor, Tensor]:
        last[indices] = part  # the acquisition is that of all problems
        z = last.clone().requires_grad_()
        values = -acquisition(z.view_as(begin)).flatten()
        return values.detach()[indices], torch.autograd.grad(values.sum(), z)[0][indices]

    ends = minimise(loss, last.clone(), [(0.0, 1.0)] * last.shape[1], steps).view_as(begin)
    with torch.no_grad():
        best = acquisition(ends).argmax(0)  # (a)
    return ends[best, torch.arange(len(best))]


def _count_points(acquisition: AcquisitionFunction) -> int:
    model = acquisition.model
    assert isinstance(model, Surrogates)
    return model.x.shape[1]


# some of the points of b functions, and which these are, to the functions' values and gradients there
Slopes = Callable[[Float[Tensor, "c p"], list[int]], tuple[Float[Tensor, " c"], Float[Tensor, "c p"]]]


def minimise(loss: Slopes, begin: Float[Tensor, "b p"], bounds: list[tuple], steps: int) -> Float[Tensor, "b p"]:
    """Minimise b independent functions, evaluated together, each with its own L-BFGS-B."""

    def evaluate(x: np.ndarray, batch_indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = loss(torch.from_numpy(x).to(begin), batch_indices)
        return values.cpu().numpy(), slopes.cpu().numpy()

    minima, _, _ = fmin_l_bfgs_b_batched(
        evaluate, begin.cpu().numpy(), bounds, maxcor=CORRECTIONS, maxiter=steps, pass_batch_indices=True
    )
    return torch.from_numpy(minima).to(begin)


def _fit_part(
    x: Float[Tensor, "a n d"], y: Float[Tensor, "a n"], steps: int, kernel: str
) -> tuple[Float[Tensor, "a p"], Bool[Tensor, " a"]]:
    """Return the hyperparameters, and whether each fit succeeded; if the batch fails, fit the problems one by one."""
    gps = _processes(x, y, kernel)
    initial = _hyperparameters(gps)
    try:
        if not (x.isfinite().all() and y.isfinite().all()):
            raise NanError
        optimum = _most_likely(gps, kernel, steps)
        _set_hyperparameters(gps, optimum)
        Surrogates(gps, kernel)
        succeeded = optimum.isfinite().all(1)
        return torch.where(succeeded[:, None], optimum, initial), succeeded
    except FAILURES:
        if len(x) == 1:
            return initial, torch.zeros(1, dtype=torch.bool)
        fits = [_fit_part(x[i : i + 1], y[i : i + 1], steps, kernel) for i in range(len(x))]
        settings, succeeded = zip(*fits, strict=True)
        return torch.cat(settings), torch.cat(succeeded)


def _most_likely(gps: SingleTaskGP, kernel: str, steps: int) -> Float[Tensor, "a p"]:
    """Return the hyperparameters of the highest posterior density, by L-BFGS from those that the processes have.

    It steps in the logarithms of noise and lengthscales, whose priors are quadratic there: it converges in 15 to 70
    steps where steps in the values themselves take 100 to 600. The density is still that of the values.
    """
    limits, loss = _limits(gps), _LossOfSome(gps, kernel)
    positive = torch.tensor([low is not None for low in limits])

    def loss_of_free(free: Tensor, indices: list[int]) -> tuple[Tensor, Tensor]:
        settings = torch.where(positive, free.exp(), free)
        values, slope = loss(settings, indices)
        return values, torch.where(positive, slope * settings, slope)

    bounds, first = [(None if low is None else math.log(low), None) for low in limits], _hyperparameters(gps)
    free = minimise(loss_of_free, torch.where(positive, first.log(), first), bounds, steps)
    return torch.where(positive, free.exp(), free)


class _LossOfSome:
    """Loss of the problems that are still being fitted; the others are left out when they are the larger half."""

    def __init__(self, gps: Any, kernel: str):
        self._x, self._y, self._kernel = gps.train_inputs[0], gps.train_targets, kernel
        self._problems, self._settings = torch.arange(len(self._x)), _hyperparameters(gps)
        self._loss = _negative_log_posterior(gps)

    def __call__(self, settings: Float[Tensor, "c p"], problems: list[int]) -> tuple[Tensor, Tensor]:
        chosen = torch.tensor(problems)
        if 2 * len(chosen) <= len(self._problems):
            self._problems, self._settings = chosen, settings.clone()
            self._loss = _negative_log_posterior(_processes(self._x[chosen], self._y[chosen], self._kernel))
        rows = torch.searchsorted(self._problems, chosen)
        self._settings[rows] = settings
        values, slopes = self._loss(self._settings)
        return values[rows], slopes[rows]


def _processes(x: Float[Tensor, "a n d"], y: Float[Tensor, "a n"], kernel: str) -> SingleTaskGP:
    covariance = kernels.build(kernel, x.shape[-1], x.shape[:1])
    with validate_input_scaling(False):  # equal scores cannot be standardised
        return SingleTaskGP(x, y.unsqueeze(-1), covar_module=covariance, outcome_transform=None).to(x)


def _negative_log_posterior(gps: Any) -> Callable[[Float[Tensor, "a p"]], tuple[Tensor, Tensor]]:
    """Return the loss of a fit, with its gradient: minus log posterior density of the hyperparameters, per point.

    The objective is that of GPyTorch's `ExactMarginalLogLikelihood`. Its gradient is taken through the kernel matrix
    alone (Rasmussen & Williams 2006, equation 5.9): the backward pass of a Cholesky decomposition takes twice the time.
    """
    y = gps.train_targets
    gps.train()

    def loss(settings: Tensor) -> tuple[Tensor, Tensor]:
        _set_hyperparameters(gps, settings)
        gps.zero_grad()
        marginal = gps.likelihood(gps(*gps.train_inputs))
        value, surrogate = _log_likelihood(marginal.mean, marginal.covariance_matrix, y)
        prior = _log_prior(gps)
        (-(surrogate + prior).sum() / y.shape[-1]).backward()
        slope = torch.cat([p.grad.flatten(1) if p.ndim > 1 else p.grad[:, None] for p in gps.parameters()], 1)
        return -(value + prior.detach()) / y.shape[-1], slope

    return loss


def _log_likelihood(
    mean: Float[Tensor, "a n"], covariance: Float[Tensor, "a n n"], y: Float[Tensor, "a n"]
) -> tuple[Float[Tensor, " a"], Float[Tensor, " a"]]:
    """Return log N(y; mean, covariance), and a number with the same gradient in mean and covariance.

    Raises:
        NanError, NotPSDError: the covariance has no Cholesky decomposition, also with jitter.
    """
    with torch.no_grad():
        root = psd_safe_cholesky(covariance)
        residual = y - mean
        weights = torch.cholesky_solve(residual.unsqueeze(-1), root)  # (a, n, 1)
        log_determinant = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        fit = (residual.unsqueeze(1) @ weights).flatten()
        value = -0.5 * (fit + log_determinant + y.shape[-1] * math.log(2 * math.pi))
        slope = weights @ weights.transpose(1, 2) - torch.cholesky_inverse(root)
    return value, 0.5 * (slope * covariance).sum((1, 2)) + (weights.squeeze(-1) * mean).sum(1)


def _log_prior(gps: Any) -> Float[Tensor, " a"]:
    """Return the log density of the hyperparameters of each process under their priors."""
    terms = (prior.log_prob(closure(module)) for _, module, prior, closure, _ in gps.named_priors())
    return torch.stack([term.flatten(1).sum(1) for term in terms]).sum(0)


def _hyperparameters(gps: SingleTaskGP) -> Float[Tensor, "a p"]:
    return torch.cat([p.detach().reshape(gps.batch_shape[0], -1) for p in gps.parameters()], 1)


def _set_hyperparameters(gps: SingleTaskGP, settings: Float[Tensor, "a p"]) -> None:
    sizes = [p[0].numel() for p in gps.parameters()]
    for p, values in zip(gps.parameters(), settings.split(sizes, 1), strict=True):
        p.data = values.reshape(p.shape).clone()


def _limits(gps: SingleTaskGP) -> list[float | None]:
    """Return the lower limit of each hyperparameter, from the model's constraints; None if it is unbounded."""
    limits = {name.removesuffix("_constraint"): c.lower_bound.item() for name, c in gps.named_constraints()}
    return [limits.get(name) for name, p in gps.named_parameters() for _ in range(p[0].numel())]
