"""Coordinates of a search: z itself, or u with z = mean + axes u by moments of the aggregate posterior q(z).

q(z) is the mean of q(z|x) over training samples x. `standard` shifts and scales each dimension of z, so that u has
mean 0 and variance 1 there. `pca:8` takes the 8 leading principal axes, each scaled by its standard deviation.
`examples:9` combines 9 draws of q(z) by 8 coordinates (`search.example_coordinates`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import LsoBenchError, PluginError, UsageError, unknown
from lso_bench.plugins.notation import whole
from lso_bench.run_settings import PRIOR
from lso_bench.search.example_coordinates import ExampleCoordinates
from lso_bench.vae.frozen_models import has_encoder
from lso_bench.vae.trained_model import Model

NAMES = (PRIOR, "standard", "pca:8", "examples:9")  # notations, with an example of the number
COUNTED = {"pca": (1, 8, "principal axes"), "examples": (2, 9, "examples")}  # least and usual number, and of what
SMALLEST = 1e-3  # share of the largest standard deviation; smaller ones are raised to it


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of the aggregate posterior, in double precision on the CPU."""

    mean: Float[Tensor, " d"]
    covariance: Float[Tensor, "d d"]


@dataclass(frozen=True)
class Coordinates:
    """Linear map z = mean + sum of u_i scale_i axes_i, from k coordinates to d."""

    mean: Float[Tensor, " d"]
    scale: Float[Tensor, " k"]
    axes: Float[Tensor, "k d"] | None = None  # orthonormal rows; None: the dimensions of z
    raised: int = 0  # scales that were below SMALLEST

    @property
    def dimension(self) -> int:
        return len(self.scale)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Coordinates":
        """Return the same map for points of this dtype on this device."""
        axes = None if self.axes is None else self.axes.to(device, dtype)
        return Coordinates(self.mean.to(device, dtype), self.scale.to(device, dtype), axes, self.raised)

    def to_z(self, u: Float[Tensor, "... k"]) -> Float[Tensor, "... d"]:
        """Return the latents at coordinates u."""
        offset = u * self.scale
        return self.mean + (offset if self.axes is None else offset @ self.axes)

    def to_u(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... k"]:
        """Return the coordinates of latents; of latents beyond the axes, those of their projection."""
        offset = z - self.mean
        return (offset if self.axes is None else offset @ self.axes.T) / self.scale


AnyCoordinates = Coordinates | ExampleCoordinates


def parse(text: str, d: int) -> tuple[str, int]:
    """Return the name of coordinates, and their number in a latent space of d dimensions.

    Raises:
        UsageError: the text is none of `prior`, `standard`, `pca:K` and `examples:K` with a K that d dimensions allow.
    """
    name, _, count = text.partition(":")
    if name not in COUNTED:
        if text not in NAMES:
            raise unknown("space", text, [*NAMES])
        return name, d
    least, usual, noun = COUNTED[name]
    try:
        return name, whole(count, least, d) - least + 1
    except ValueError as error:
        raise UsageError(
            f"Space {text!r}: wanted {name}:K, with the number of {noun} K from {least} to {d}, the model's "
            f"dimensions; say {name}:{min(usual, d)}."
        ) from error


def canonical(text: str, d: int) -> str:
    """Return the canonical text of coordinates: `pca:8` for `pca:08`.

    Raises:
        UsageError: as `parse`.
    """
    name, k = parse(text, d)
    return f"{name}:{k + COUNTED[name][0] - 1}" if name in COUNTED else name


def default(model: Model) -> str:
    """Return the coordinates of searches in a model if the user gives none.

    The latents of a model from outside need not lie where the prior's do, which its encoder shows.
    """
    return "standard" if model.external and has_encoder(model.name, model.external) else PRIOR


def known_default(model: Model) -> str | None:
    """Return the same; None where the file or the object of a model from outside cannot be used here any more."""
    try:
        return default(model)
    except LsoBenchError:
        return None


def build(text: str, moments: Moments, examples: Callable[[int], Float[Tensor, "k d"]]) -> AnyCoordinates:
    """Return the map of `standard`, `pca:K` or `examples:K`; `examples` returns so many draws of q(z).

    Raises:
        PluginError: the moments are not finite, or the encoder gives all samples the same latent.
    """
    name, k = parse(text, len(moments.mean))
    if name == "pca":
        variances, axes = _principal_axes(moments.covariance)
        std, axes = variances[:k].clamp_min(0).sqrt(), axes[:k]
    else:
        std, axes = moments.covariance.diagonal().sqrt(), None
    if not (moments.mean.isfinite().all() and 0 < std.max() < torch.inf):
        raise PluginError(f"--space {text} wants an aggregate posterior of finite spread, and it has none; say prior")
    smallest = SMALLEST * std.max()
    raised, std = int((std < smallest).sum()), std.clamp_min(smallest)
    if name == "examples":
        return ExampleCoordinates(moments.mean, std, (examples(k + 1).to(std) - moments.mean) / std, raised)
    return Coordinates(moments.mean, std, axes, raised)


def _principal_axes(covariance: Float[Tensor, "d d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Return the variances along the principal axes, the largest first, and the axes as rows.

    The largest component of each axis is positive.
    """
    if not covariance.isfinite().all():
        return covariance.diagonal(), covariance
    variances, columns = torch.linalg.eigh(covariance)  # ascending
    axes = columns.T.flip(0)
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))  # (d, 1)
    return variances.flip(0), axes * largest.sign()
