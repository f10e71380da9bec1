"""The unit of a score, read off its first values, for searchers whose method has constants in an absolute unit."""

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST = 2.0**20  # a first size above it is brought down to it, far from where the square of a gradient overflows


def units(first: Float[Tensor, "*k"], least: float) -> Float[Tensor, "*k"]:
    """Return the powers of two that bring `first` sizes into [least, LARGEST]; 1 where they lie in it, or are 0.

    A score may be in any unit, and what divides its gradients or differences by these behaves as for a score of
    ordinary size. A division by a power of two changes no digit, and a score of ordinary size is not changed at all.
    """
    size = first.nan_to_num(0.0, 0.0, 0.0)
    low, high = (torch.frexp(first.new_tensor(limit)).exponent for limit in (least, LARGEST))
    power = torch.frexp(size).exponent
    excess = (power - low).clamp(max=0) + (power - high).clamp(min=0)
    return torch.ldexp(torch.ones_like(size), torch.where(size > 0, excess, 0))
