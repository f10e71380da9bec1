"""Multi-layer perceptrons of many independent problems, trained and evaluated as one batch."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

Predict = Callable[[Float[Tensor, "b m d"]], Float[Tensor, "b m"]]  # points of the unit cube to standardised scores
HIDDEN = 64  # units of each of two hidden layers
RATE = 0.01  # of Adam
SPREAD = 12**0.5  # brings uniform points of the unit cube to variance 1


class Perceptrons:
    """One perceptron a problem with two hidden layers of rectified linear units, in single precision."""

    def __init__(self, k: int, d: int, generator: torch.Generator):
        sizes = (d, HIDDEN, HIDDEN, 1)
        self._weights = [
            (torch.randn(k, i, o, generator=generator) * (2 / i) ** 0.5).requires_grad_() for i, o in pairwise(sizes)
        ]
        self._biases = [torch.zeros(k, 1, o).requires_grad_() for o in sizes[1:]]
        self._optimizer = torch.optim.Adam([*self._weights, *self._biases], lr=RATE, fused=True)

    def train(self, u: Float[Tensor, "k n d"], y: Float[Tensor, "k n"], steps: int) -> None:
        """Take `steps` steps on the squared error of the scores at points of the unit cube, all points in each."""
        y = y.float()
        for _ in range(steps):
            self._optimizer.zero_grad()
            (_outputs(u, self._weights, self._biases) - y).square().mean(1).sum().backward()
            self._optimizer.step()

    def predictor(self, problems: Int[Tensor, " b"]) -> Predict:
        """Return a function from points of the unit cube to scores that the networks of some problems predict."""
        weights = [weight.detach()[problems] for weight in self._weights]
        biases = [bias.detach()[problems] for bias in self._biases]
        return lambda u: _outputs(u, weights, biases).to(u.dtype)


def _outputs(u: Float[Tensor, "b m d"], weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Float[Tensor, "b m"]:
    x = SPREAD * (u.float() - 0.5)
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = torch.baddbmm(bias, x.relu() if i else x, weight)
    return x.squeeze(-1)
