"""Gradient ascent of the score by Adam, from every start of a problem at once."""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.search import Problem, Searcher
from vae.settings import above, at_least


@dataclass(frozen=True)
class Adam(Searcher):
    """Adam on the codes, all problems in one step. Source: Kingma & Ba 2015, algorithm 1.

    arXiv 2103.11349, section 5.4, searches so; its learning rate is not stated, 0.1 is ours.
    """

    lr: float = 0.1  # step, in prior standard deviations
    beta1: float = 0.9  # decay of the mean of the gradient
    beta2: float = 0.999  # decay of the mean of its square

    needs_gradient = True
    bounded = False
    descends = True

    def __post_init__(self):
        above(self, 0, "lr")
        at_least(self, 0, "beta1", "beta2")
        if max(self.beta1, self.beta2) >= 1:
            raise ValueError(f"beta1, beta2: wanted less than 1, got {self.beta1} and {self.beta2}")

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts.clone().requires_grad_()
        optimizer = torch.optim.Adam([z], lr=self.lr, betas=(self.beta1, self.beta2), fused=z.is_cuda)
        while True:
            yield z
            optimizer.step()
            z.data = problem.region.clip(z.data)
