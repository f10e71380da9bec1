"""Where a search may look: everywhere, a box, a ball, or where the encoder puts the training data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.vae.notation import digits, real

KINDS = ("none", "box:3", "ball:10", "quantiles:0.01")  # as they are written, with an example of the size
FAR_BOX = 5.0  # prior standard deviations; of the prior's mass in each direction 6e-7 lies beyond
FAR_BALL = 2.0  # times sqrt(d), where the prior's shell is


@dataclass(frozen=True)
class Region:
    """A part of a latent space; `low` and `high` bound it in each dimension, `radius` as a ball besides."""

    low: Float[Tensor, " d"] | None = None
    high: Float[Tensor, " d"] | None = None
    radius: float | None = None

    @property
    def bounds(self) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"]]:
        """Its bounding box.

        Raises:
            ValueError: it has none.
        """
        if self.low is None or self.high is None:
            raise ValueError("wanted a bounded region, got none; say --region box:3")
        return self.low, self.high

    def clip(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The nearest codes inside."""
        if self.radius is not None:
            return z * (self.radius / z.norm(dim=-1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
        if self.low is None or self.high is None:
            return z
        return z.clamp(self.low, self.high)

    def to_cube(self, z: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The bounding box as the unit cube, in double precision on the CPU, where surrogates are fitted."""
        low, high = self.bounds
        return ((z - low) / (high - low)).cpu().double()

    def from_cube(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """The codes inside that are nearest to points of that cube."""
        low, high = self.bounds
        return self.clip(low + u.to(low) * (high - low))

    def nearest(self, u: Float[Tensor, "... d"], margin: float = 0.0) -> Float[Tensor, "... d"]:
        """The inside points nearest to points of that cube, in its coordinates, with a gradient; a box is all of it.

        In a ball they keep `margin`, a share of its radius, from the sphere.
        """
        if self.radius is None:
            return u
        off, radius = u - 0.5, 0.5 * (1 - margin)  # the ball's centre is 0.5 and its radius 0.5 there
        return 0.5 + off * (radius / off.norm(dim=-1, keepdim=True).clamp_min(radius))

    def drawn_back(
        self, u: Float[Tensor, "... d"], inside: Float[Tensor, "... d"], share: Float[Tensor, "... 1"]
    ) -> Float[Tensor, "... d"]:
        """Points of that cube; those outside at `share` of the way from `inside` to where the region ends."""
        if self.radius is None:
            return u
        off, way = inside - 0.5, u - inside
        length, slope = way.square().sum(-1, keepdim=True), (off * way).sum(-1, keepdim=True)
        room = (0.25 - off.square().sum(-1, keepdim=True)).clamp_min(0)
        end = ((slope.square() + length * room).sqrt() - slope) / length.clamp_min(1e-30)  # |off + end * way| = 0.5
        outside = (u - 0.5).norm(dim=-1, keepdim=True) > 0.5
        return torch.where(outside, inside + share * end * way, u)

    def even(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Uniform points of that cube as uniform points inside, in its coordinates."""
        return u if self.radius is None else 0.5 + self.spread(u) / (2 * self.radius)

    def spread(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Points of the unit cube mapped onto the region, so that uniform ones become uniform."""
        low, high = self.bounds
        if self.radius is None:
            return low + u * (high - low)
        d = u.shape[-1]
        normal = torch.special.ndtri(u.double().clamp(1e-12, 1 - 1e-12))
        square = normal.square().sum(-1, keepdim=True)  # chi-squared with d degrees of freedom
        share = torch.special.gammainc(torch.full_like(square, d / 2), square / 2) ** (1 / d)
        return (self.radius * share * normal / square.sqrt()).to(u.dtype)

    def throughout(self, u: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """Points of the unit cube mapped onto the region; in a ball uniform in direction and distance from its centre.

        In many dimensions nearly all of a ball's volume is at its sphere, where no process sees what is inside.
        """
        z = self.spread(u)
        return z if self.radius is None else z * (z.norm(dim=-1, keepdim=True) / self.radius) ** (z.shape[-1] - 1)


def parse(text: str) -> tuple[str, float]:
    """Kind and size of `none`, `box:3`, `ball:10` or `quantiles:0.01`.

    Raises:
        UsageError: says what is wanted.
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
    """The one text of a region.

    Raises:
        UsageError: as `parse`.
    """
    kind, size = parse(text)
    return kind if math.isnan(size) else f"{kind}:{digits(size)}"


def build(text: str, d: int, posterior: Callable[[], Float[Tensor, "n d"]], device: str = "cpu") -> Region:
    """The region that `text` names; `posterior` gives draws from the aggregate posterior q(z).

    Raises:
        UsageError: no such region.
    """
    kind, size = parse(text)
    if kind == "none":
        return Region()
    if kind == "quantiles":
        low, high = torch.quantile(posterior(), torch.tensor([size, 1 - size], device=device), dim=0)
        return Region(low, high)
    high = torch.full((d,), size, device=device)
    return Region(-high, high, size if kind == "ball" else None)


def beyond_prior_warning(text: str, d: int) -> str:
    """What to warn of: a region that leaves the prior far behind. Empty where there is nothing."""
    kind, size = parse(text)
    if kind == "box" and size > FAR_BOX:
        return f"Region {text} leaves the prior far behind; its mass lies within 5 in every direction."
    if kind == "ball" and size > FAR_BALL * math.sqrt(d):
        return f"Region {text} leaves the prior far behind; its shell is at sqrt({d}) = {math.sqrt(d):.1f}."
    return ""
