"""Gradient ascent of the score by Adam, from every start of a problem at once."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.score_unit import units

SMALLEST = 2.0**-10  # largest component of a problem's first gradient from which on eps is left as it is
LEAST = 2.0**-50  # of a unit: a gradient that grows from nearly 0 to an ordinary size does not overflow


@dataclass(frozen=True)
class Adam(Searcher):
    """Adam on the latents, all problems in one step. Source: Kingma & Ba 2015, algorithm 1.

    Adam adds eps = 1e-8 to the size of a gradient, so that a score in a small unit hardly moves. Where no component
    of a problem's first gradient reaches 2^-10, its gradients are brought to that size (`search.score_unit`); eps stays
    below 1e-5 of the first gradient. Scores of ordinary size keep the published constant and every digit.

    arXiv 2103.11349, section 5.4, searches so; its learning rate is not stated, 0.1 is ours.
    """

    lr: float = 0.1  # step, in prior standard deviations
    beta1: float = 0.9  # decay of the mean of the gradient
    beta2: float = 0.999  # decay of the mean of its square

    needs_gradient = True
    bounded = False
    descends = True
    earlier: ClassVar[Mapping[str, str]] = {"6ecd580fc86b5349": "ball"}

    def __post_init__(self):
        above(self, 0, "lr")
        at_least(self, 0, "beta1", "beta2")
        if max(self.beta1, self.beta2) >= 1:
            raise ValueError(f"beta1, beta2: wanted less than 1, got {self.beta1} and {self.beta2}")

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts.clone().requires_grad_()
        optimizer = torch.optim.Adam([z], lr=self.lr, betas=(self.beta1, self.beta2), fused=z.is_cuda)
        unit, waiting = z.new_zeros(len(z), 1, 1), True  # 0: no gradient yet
        while True:
            y = yield z
            assert z.grad is not None
            if waiting:
                largest = z.grad.abs().amax((1, 2), keepdim=True)
                unit = torch.where((unit == 0) & (largest > 0), units(largest, SMALLEST).clamp(min=LEAST), unit)
                waiting = bool(((unit[:, 0] == 0) & y.isfinite()).any())  # of a problem that has left nothing comes
            z.grad /= unit.masked_fill(unit == 0, 1)
            optimizer.step()
            z.data = problem.region.after_adam(z.data, optimizer, z)
