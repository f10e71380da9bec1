"""Coordinates by examples: K latents span a search space of K - 1 coordinates (Willis et al. 2025, arXiv 2509.23800).

A latent is a combination of the examples with weights w >= 0 of |w| = 1, so that it has the distribution N(0, I) where
the examples have it. The map from the unit cube to the weights is the authors' default, that of Knothe and Rosenblatt
(their code, `latent_spaces_by_example`): uniform points of the cube give uniform weights on that part of the sphere.
Inferred here: u is a quantile of N(0, 1) of each of its coordinates, so that draws from N(0, I) in u are uniform; and
the examples are standardised in each dimension by the aggregate posterior, where the authors have a map of the model's.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST = 8.0  # size of a coordinate of latents beyond the examples; one of N(0, 1) in 10^15 is larger


@dataclass(frozen=True)
class ExampleCoordinates:
    """Map z = mean + scale * sum of w_k(u) examples_k, from K - 1 coordinates u to d."""

    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " d"]
    examples: Float[Tensor, "k d"]  # standardised: minus `mean`, by `scale`
    raised: int = 0  # scales that were raised

    @property
    def dimension(self) -> int:
        return len(self.examples) - 1

    def to(self, device: torch.device, dtype: torch.dtype) -> "ExampleCoordinates":
        """Return the same map for points of this dtype on this device."""
        mean, scale, examples = (part.to(device, dtype) for part in (self.mean, self.scale, self.examples))
        return ExampleCoordinates(mean, scale, examples, self.raised)

    def to_z(self, u: Float[Tensor, "... c"]) -> Float[Tensor, "... d"]:
        """Return the latents at coordinates u."""
        return self.mean + self.scale * (weights(u).to(self.mean) @ self.examples)

    def to_u(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... c"]:
        """Return the coordinates of latents; of others than these combinations, those of a near one.

        That has the weights of least squares, without the negative ones, brought to norm 1 (the authors' code).
        """
        w = ((z - self.mean) / self.scale).double() @ torch.linalg.pinv(self.examples.double())
        return coordinates_of(w.clamp_min(1e-30)).to(z)


def weights(u: Float[Tensor, "... c"]) -> Float[Tensor, "... k"]:
    """Return the weights of K = c + 1 examples, in double precision: nonnegative and of norm 1."""
    angles = _angles(u.double())
    rest = torch.cat([torch.ones_like(angles[..., :1]), angles.cos().cumprod(-1)], -1)
    return rest * torch.cat([angles.sin(), torch.ones_like(angles[..., :1])], -1)


def coordinates_of(w: Float[Tensor, "... k"]) -> Float[Tensor, "... c"]:
    """Return the coordinates of positive weights of any norm, at most `LARGEST` in size."""
    tail = w.square().flip(-1).cumsum(-1).flip(-1).sqrt()  # norms of each weight and those after it
    return _quantiles(torch.atan2(w[..., :-1], tail[..., 1:])).clamp(-LARGEST, LARGEST)


def _angles(u: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
    """Return the angles whose probabilities of a larger one are those of N(0, 1) below u, with a gradient."""
    from scipy.special import betaincinv

    powers = _powers(u)
    b = _numpy((powers + 1) / 2)
    smaller, larger = torch.special.ndtr(-u), torch.special.ndtr(u)
    sin2, cos2 = betaincinv(0.5, b, _numpy(smaller)), betaincinv(b, 0.5, _numpy(larger))
    angles = torch.atan2(*(torch.from_numpy(part).to(u).sqrt() for part in (sin2, cos2)))
    density = torch.exp(powers * angles.cos().clamp_min(1e-30).log() - _log_integral(powers))
    return angles + (smaller - smaller.detach()) / density.clamp_min(1e-30)


def _quantiles(angles: Float[Tensor, "... c"]) -> Float[Tensor, "... c"]:
    """Return the inverse of `_angles`; infinite at both ends."""
    from scipy.special import betainc

    b = _numpy((_powers(angles) + 1) / 2)
    smaller = torch.from_numpy(betainc(0.5, b, _numpy(angles.sin().square()))).to(angles)
    larger = torch.from_numpy(betainc(b, 0.5, _numpy(angles.cos().square()))).to(angles)
    return torch.where(smaller < larger, -torch.special.ndtri(smaller), torch.special.ndtri(larger))


def _powers(angles: Float[Tensor, "... c"]) -> Float[Tensor, " c"]:
    """Return the powers p of the densities of the angles on [0, pi/2], which are in proportion to cos^p."""
    return torch.arange(angles.shape[-1]).flip(0).to(angles)


def _log_integral(powers: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Return the logarithms of the integrals of cos^power over [0, pi/2]."""
    return torch.lgamma((powers + 1) / 2) - torch.lgamma(powers / 2 + 1) + math.log(math.pi) / 2 - math.log(2)


def _numpy(values: Tensor):
    return values.detach().cpu().numpy()
