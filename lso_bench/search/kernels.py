"""Kernels of Gaussian processes on the unit cube, with separate hyperparameters for each problem of a batch."""

import math
from typing import Any, Literal

import torch
from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
from gpytorch.constraints import GreaterThan
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from jaxtyping import Float
from torch import Tensor

KernelName = Literal["rbf", "matern", "linear"]
SHORTEST = 0.025  # least lengthscale, sides of the cube (BoTorch's and the authors' of the linear kernel)


class SphericalLinear(Kernel):
    """Linear kernel after inverse stereographic projection onto the unit sphere: k(x, x') = a + b p(x) p(x').

    Its values are those of the authors' code (Doumont et al. 2025, arXiv 2512.00170; repository colmont/linear-bo).
    p projects (x - 1/2) / (s lengthscale), with s^2 = g sum_i (2 lengthscale_i)^-2. Here a and b are the softmax of
    two free parameters and g is the sigmoid of one, so that k(x, x) = 1. Lengthscales have a log-normal prior that
    does not grow with the dimension.
    """

    has_lengthscale = True
    raw_shares: torch.nn.Parameter  # (*batch, 2): of a and b
    raw_scale: torch.nn.Parameter  # (*batch, 1): of g

    def __init__(self, d: int, batch: torch.Size):
        prior = LogNormalPrior(math.sqrt(2), math.sqrt(3))
        no_transform: Any = None  # as BoTorch has it; GPyTorch's annotation lacks it
        limit = GreaterThan(SHORTEST, transform=no_transform, initial_value=prior.mode)
        super().__init__(ard_num_dims=d, batch_shape=batch, lengthscale_prior=prior, lengthscale_constraint=limit)
        self.register_parameter("raw_shares", torch.nn.Parameter(torch.zeros(*batch, 2)))
        self.register_parameter("raw_scale", torch.nn.Parameter(torch.zeros(*batch, 1)))

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, last_dim_is_batch: bool = False, **params) -> Tensor:
        """Compute the matrix of values; its diagonal if `diag`."""
        if diag:
            return torch.ones_like(x1[..., 0])
        lengthscale: Float[Tensor, "*a 1 d"] = self.lengthscale
        farthest = (2 * lengthscale).pow(-2).sum(-1, keepdim=True)  # squared norm of a corner of the scaled cube
        scale = lengthscale * (self.raw_scale.sigmoid().unsqueeze(-1) * farthest).sqrt()
        constant, linear = self.raw_shares.softmax(-1)[..., None, None].unbind(-3)
        p1, p2 = (_onto_sphere((x - 0.5) / scale) for x in (x1, x2))
        return constant + linear * (p1 @ p2.transpose(-1, -2))


def build(name: str, d: int, batch: torch.Size) -> Kernel:
    """Return the kernel of this name for points of d dimensions.

    `rbf` and `matern` (5/2) have a lengthscale a dimension with a log-normal prior that grows as sqrt(d) (Hvarfner,
    Hellsten & Nardi 2024, arXiv 2402.02229), as in BoTorch. Matern-5/2 is the kernel of Xu et al. 2024, arXiv
    2402.02746; they scale its initial lengthscales by sqrt(d) and not its prior.
    """
    if name == "linear":
        return SphericalLinear(d, batch)
    return get_covar_module_with_dim_scaled_prior(d, batch, use_rbf_kernel=name == "rbf")


def _onto_sphere(x: Float[Tensor, "*a n d"]) -> Float[Tensor, "*a n e"]:
    square = x.square().sum(-1, keepdim=True)
    return torch.cat([2 * x, square - 1], -1) / (square + 1)
