"""The example of each plugin kind in CONTRIBUTING, as text."""

from lso_bench.testing import template

INK = template.TASK.replace("Example", "Ink").replace("example", "ink")

SHRINKING = '''"""Ever smaller random steps from the best point so far."""

from dataclasses import dataclass
from itertools import count

import torch

from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class Shrinking(Searcher):
    """A normal step from the best point so far, its size falling as 1 / sqrt(step)."""

    sigma: float = 1.0  # first step size, prior standard deviations

    def search(self, problem: Problem):
        best = problem.starts[:, :1]  # (k, 1, d)
        highest = (yield problem.starts)[:, :1]
        for step in count(1):
            z = problem.region.clip(best + self.sigma / step**0.5 * torch.randn_like(best))
            y = yield z
            best, highest = torch.where((y > highest)[..., None], z, best), torch.maximum(y, highest)
'''

SPARSE = '''"""A VAE whose codes are drawn to the axes."""

from dataclasses import dataclass

from torch.distributions import kl_divergence

from lso_bench.vae.objectives import Objective, Terms


@dataclass(frozen=True)
class Sparse(Objective):
    """Distortion + w(t) * rate + pull * |mu|, the sum over latents of the absolute value of the mean of q(z|x)."""

    pull: float = 0.1  # nats a unit of z

    def __call__(self, vae, x):
        q = vae.encode(x)
        distortion = -vae.decode(q.rsample(), x).log_prob(x)
        return Terms(distortion, kl_divergence(q, vae.prior(x)), self.pull * q.mean.abs().sum(-1))
'''
