"""An image that a classifier takes for a certain digit: BoTorch's published example of a search with a VAE."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench import Task, classifier


@dataclass(frozen=True)
class DigitScore(Task):
    """Expected score sum_i p_i exp(-2 (i - digit)^2), p_i the probability of digit i under a classifier; in (0, 1].

    Source: BoTorch's tutorial "VAE MNIST example: BO in a latent space", where the digit is 3. There a VAE with 20
    latent dimensions is searched in a box of 6 prior standard deviations; the classifier here is ours, a small
    convolutional one, trained by `lso-bench train-judge classifier --data mnist`.
    """

    digit: int = 3
    data = "mnist"
    optimum = 1.0

    def __post_init__(self):
        if not 0 <= self.digit <= 9:
            raise ValueError(f"wanted a digit from 0 to 9, got {self.digit}")

    def score(self, x: Float[Tensor, "k n 1 h w"]) -> Float[Tensor, "k n"]:
        p = classifier(self.data, x.device)(x).softmax(-1)  # (k, n, 10)
        off = torch.arange(10, device=x.device) - self.digit
        return (p * (-2 * off.square()).exp()).sum(-1)
