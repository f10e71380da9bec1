"""Region of a search: unbounded, a box, a ball, or quantiles of the encoded training data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import digits, real

KINDS = ("none", "box:3", "ball:10", "quantiles:0.01")  # notations, with an example of the size
FAR_BOX = 5.0  # prior standard deviations; 6e-7 of the prior's mass in each direction lies beyond
NEWTON = 20  # steps; about 6 are needed where weights differ by a factor of 10^4
FAR_BALL = 2.0  # times sqrt(d), the radius of the prior's shell


@dataclass(frozen=True)
class Region:
    """Part of a latent space; `low` and `high` bound each dimension, `radius` also bounds a ball."""

    low: Float[Tensor, " d"] | None = None
    high: Float[Tensor, " d"] | None = None
    radius: float | None = None

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Bounding box.

        Raises:
            ValueError: the region is unbounded.
        """
        if self.low is None or self.high is None:
            raise ValueError("wanted a bounded region, got none; say --region box:3")
        return self.low, self.high

    def after_adam(
        self, z: Float[Tensor, "... d"], optimizer: torch.optim.Adam, parameter: Tensor
    ) -> Float[Tensor, "... d"]:
        """Return latents inside the region after a step of Adam: the nearest ones, as Adam measures distances.

        Adam divides each component of a step by the size of its gradients. With the shortest way back onto a ball it
        comes to rest where the latent is parallel to that step, and not to the gradient. The nearest latent by squared
        distances that are weighted by the same sizes has the optimum as its resting point. Source: Reddi et al. 2018,
        "On the Convergence of Adam and Beyond" (arXiv 1904.09237), algorithm 2.
        """
        if self.radius is None:
            return self.clip(z)
        group, state = optimizer.param_groups[0], optimizer.state[parameter]
        correction = 1 - group["betas"][1] ** state["step"]
        weights = (state["exp_avg_sq"] / correction).sqrt() + group["eps"]
        return self.clip(_onto_ball(z, weights, self.radius))

    def clip(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Return the nearest latents inside the region."""
        if self.radius is not None:
            return z * (self.radius / z.norm(dim=-1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
        if self.low is None or self.high is None:
            return z
        return z.clamp(self.low, self.high)

    def to_cube(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Map the bounding box to the unit cube, in double precision on the CPU, where surrogates are fitted."""
        low, high = self.bounds
        return ((z - low) / (high - low)).cpu().double()

    def from_cube(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Return the latents in the region nearest to points of the unit cube."""
        low, high = self.bounds
        return self.clip(low + u.to(low) * (high - low))

    def nearest(self, u: Float[Tensor, "... d"], margin: float = 0.0) -> Float[Tensor, "... d"]:
        """Return the points of the region nearest to points of the unit cube, in cube coordinates, with a gradient.

        A box fills the cube. In a ball they keep `margin`, a share of its radius, from the sphere.
        """
        if self.radius is None:
            return u
        offset, radius = u - 0.5, 0.5 * (1 - margin)  # in the cube the ball has centre 0.5 and radius 0.5
        return 0.5 + offset * (radius / offset.norm(dim=-1, keepdim=True).clamp_min(radius))

    def drawn_back(
        self, u: Float[Tensor, "... d"], inside: Float[Tensor, "... d"], share: Float[Tensor, "... 1"]
    ) -> Float[Tensor, "... d"]:
        """Move points of the cube that lie outside, to `share` of the way from `inside` to the region's boundary."""
        if self.radius is None:
            return u
        offset, direction = inside - 0.5, u - inside
        length, slope = direction.square().sum(-1, keepdim=True), (offset * direction).sum(-1, keepdim=True)
        gap = (0.25 - offset.square().sum(-1, keepdim=True)).clamp_min(0)
        # |offset + end * direction| = 0.5
        end = ((slope.square() + length * gap).sqrt() - slope) / length.clamp_min(1e-30)
        outside = (u - 0.5).norm(dim=-1, keepdim=True) > 0.5
        return torch.where(outside, inside + share * end * direction, u)

    def even(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Map uniform points of the cube to uniform points of the region, in cube coordinates."""
        return u if self.radius is None else 0.5 + self.spread(u) / (2 * self.radius)

    def spread(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Map points of the unit cube onto the region; uniform points stay uniform."""
        low, high = self.bounds
        if self.radius is None:
            return low + u * (high - low)
        d = u.shape[-1]
        normal = torch.special.ndtri(u.double().clamp(1e-12, 1 - 1e-12))
        square = normal.square().sum(-1, keepdim=True)  # chi-squared with d degrees of freedom
        share = torch.special.gammainc(torch.full_like(square, d / 2), square / 2) ** (1 / d)
        return (self.radius * share * normal / square.sqrt()).to(u.dtype)

    def throughout(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Map points of the unit cube onto the region; in a ball uniform in direction and in distance from its centre.

        In many dimensions nearly all of a ball's volume is near its sphere, where a process cannot learn the
        interior.
        """
        z = self.spread(u)
        return z if self.radius is None else z * (z.norm(dim=-1, keepdim=True) / self.radius) ** (z.shape[-1] - 1)


def _onto_ball(z: Float[Tensor, "... d"], weights: Float[Tensor, "... d"], radius: float) -> Float[Tensor, "... d"]:
    """Return the points of a ball with the least sum of weights * (point - z)^2; points inside stay as they are.

    They are weights * z / (weights + m), with m >= 0 such that their norm is the radius. Newton's method on 1 / norm,
    which is nearly linear in m, rises to it from m = 0 (More & Sorensen 1983).
    """
    y, w = z.double(), weights.double()
    w = w / w.amax(-1, keepdim=True)
    m = torch.zeros_like(y[..., :1])
    for _ in range(NEWTON):
        point = w * y / (w + m)
        norm = point.norm(dim=-1, keepdim=True).clamp_min(1e-300)
        slope = (point.square() / (w + m)).sum(-1, keepdim=True).clamp_min(1e-300)
        m = m + (norm.square() / slope * (norm / radius - 1)).clamp_min(0)
    outside = z.norm(dim=-1, keepdim=True) > radius
    return torch.where(outside, (w * y / (w + m)).to(z.dtype), z)


def parse(text: str) -> tuple[str, float]:
    """Return kind and size of `none`, `box:3`, `ball:10` or `quantiles:0.01`.

    Raises:
        UsageError: the text is none of these.
    """
    kind, _, size = text.partition(":")
    try:
        value = real(size or "nan")
    except ValueError:
        value = math.nan
    most = {"box": math.inf, "ball": math.inf, "quantiles": 0.5}
    if text == "none":
        return kind, math.nan
    if kind not in most or not 0 < value < most[kind]:
        raise UsageError(
            f"No region {text!r}; wanted none, box:HALF_WIDTH or ball:RADIUS in prior standard deviations, or "
            "quantiles:TAIL of the aggregate posterior (0 < TAIL < 0.5)."
        )
    return kind, value


def canonical(text: str) -> str:
    """Return the canonical text of a region.

    Raises:
        UsageError: as `parse`.
    """
    kind, size = parse(text)
    return kind if math.isnan(size) else f"{kind}:{digits(size)}"


def build(text: str, d: int, posterior: Callable[[], Float[Tensor, "n d"]], device: str = "cpu") -> Region:
    """Return the region that `text` describes; `posterior` draws from the aggregate posterior q(z).

    Raises:
        UsageError: the region does not exist.
    """
    kind, size = parse(text)
    if kind == "none":
        return Region()
    if kind == "quantiles":
        low, high = torch.quantile(posterior(), torch.tensor([size, 1 - size], device=device), dim=0)
        return Region(low, high)
    high = torch.full((d,), size, device=device)
    return Region(-high, high, size if kind == "ball" else None)


def beyond_prior_warning(text: str, d: int, center: str = "the prior") -> str:
    """Return a warning if a region extends far beyond the mass of N(0, I), which is the prior; empty if not.

    Args:
        d: number of coordinates.
        center: name of the distribution that has mean 0 and variance 1 in these coordinates.
    """
    kind, size = parse(text)
    if kind == "box" and size > FAR_BOX:
        return f"Region {text} leaves {center} far behind; its mass lies within 5 in every direction."
    if kind == "ball" and size > FAR_BALL * math.sqrt(d):
        return f"Region {text} leaves {center} far behind; its shell is at sqrt({d}) = {math.sqrt(d):.1f}."
    return ""
