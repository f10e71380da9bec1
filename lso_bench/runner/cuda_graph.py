"""Scores of latents and their gradient, captured once as a CUDA graph and replayed."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.vae.capture import UncapturableError, captured

Score = Callable[[Float[Tensor, "k m d"]], Float[Tensor, "a n"]]


class CapturedScores:
    """`score` as a graph for latents of one shape; if `gradient`, with the gradient of minus the scores' sum.

    Raises:
        UnusableError: the task's operations on the images cannot be captured.
    """

    def __init__(self, score: Score, z: Float[Tensor, "k m d"], gradient: bool):
        self.z = z.detach().clone().requires_grad_(gradient)

        def step() -> tuple[Tensor, Tensor | None]:
            with torch.set_grad_enabled(gradient):
                y = score(self.z)
                return y.detach(), torch.autograd.grad(-y.sum(), self.z)[0] if gradient else None

        try:
            self.graph, (self.y, self.slope) = captured(step)
        except UncapturableError as error:
            raise UnusableError(
                f"This search cannot be captured as a CUDA graph ({error}); leave --capture out."
            ) from error

    def __call__(self, z: Float[Tensor, "k m d"]) -> Float[Tensor, "a n"]:
        """Compute the scores, and write the gradient to `z.grad`."""
        self.z.detach().copy_(z.detach())
        self.graph.replay()
        z.grad = None if self.slope is None else self.slope.clone()
        return self.y.clone()
