"""Multi-layer perceptrons of many independent problems, trained and evaluated as one batch."""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

HIDDEN = 64  # units of each of two hidden layers
RATE = 0.01  # of Adam
SPREAD = 12**0.5  # brings uniform points of the unit cube to variance 1


class Perceptrons:
    """One perceptron a problem with two hidden layers of rectified linear units, in double precision."""

    def __init__(self, k: int, d: int, generator: torch.Generator):
        sizes = (d, HIDDEN, HIDDEN, 1)
        self._weights = [
            (torch.randn(k, i, o, generator=generator).double() * (2 / i) ** 0.5).requires_grad_()
            for i, o in pairwise(sizes)
        ]
        self._biases = [torch.zeros(k, 1, o).double().requires_grad_() for o in sizes[1:]]
        self._optimizer = torch.optim.Adam([*self._weights, *self._biases], lr=RATE)

    def train(self, u: Float[Tensor, "k n d"], y: Float[Tensor, "k n"], steps: int) -> None:
        """Take `steps` steps on the squared error of the scores at points of the unit cube, all points in each."""
        problems = torch.arange(len(u))
        for _ in range(steps):
            self._optimizer.zero_grad()
            (self.predict(u, problems) - y).square().mean(1).sum().backward()
            self._optimizer.step()

    def predict(self, u: Float[Tensor, "b m d"], problems: Int[Tensor, " b"]) -> Float[Tensor, "b m"]:
        """Return the predicted scores of points of some of the problems."""
        x = SPREAD * (u - 0.5)
        for i, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            x = (x.relu() if i else x) @ weight[problems] + bias[problems]
        return x.squeeze(-1)
