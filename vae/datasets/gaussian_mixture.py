"""Vectors drawn from a mixture of normals, whose density is known."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.vae.datasets import Source

COUNT = 10_000  # vectors in all


@dataclass(frozen=True)
class GaussianMixture(Source):
    """Vectors around the corners of a random orthogonal frame: a mixture of isotropic normals with equal weights.

    Everything about them is known in closed form: density, entropy bounds, and the best reconstruction.
    """

    dimensions: int = 8
    components: int = 4  # at most twice the dimensions: plus and minus each axis
    radius: float = 2.0  # distance of a component's mean from the origin
    std: float = 0.5  # of each component, in every direction
    likelihood = "gaussian:bounded=false"

    def __post_init__(self):
        at_least(self, 1, "dimensions", most=1024)
        at_least(self, 1, "components", most=2 * self.dimensions)
        at_least(self, 0, "radius")
        above(self, 0, "std")

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.dimensions,)

    def means(self) -> Float[Tensor, "c d"]:
        """Return the means of the components: plus and minus the axes of a seeded orthogonal frame."""
        generator = torch.Generator().manual_seed(0)
        axes, _ = torch.linalg.qr(
            torch.randn(self.dimensions, self.dimensions, generator=generator, dtype=torch.float64)
        )
        corners = torch.stack([axes.T, -axes.T], 1).flatten(0, 1)  # (2d, d)
        return self.radius * corners[: self.components]

    def samples(self, folder: Path) -> Shaped[np.ndarray, "n *shape"]:
        generator = torch.Generator().manual_seed(1)
        chosen = torch.randint(self.components, (COUNT,), generator=generator)
        noise = torch.randn(COUNT, self.dimensions, generator=generator, dtype=torch.float64)
        return (self.means()[chosen] + self.std * noise).float().numpy()

    def log_density(self, x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Return the log-density of vectors, nats."""
        squared = (x.double()[:, None] - self.means()).square().sum(-1)  # (n, c)
        normal = -0.5 * squared / self.std**2 - self.dimensions * math.log(self.std * math.sqrt(2 * math.pi))
        return normal.logsumexp(-1) - math.log(self.components)
