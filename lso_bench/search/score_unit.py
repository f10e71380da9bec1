"""Unit of a score, estimated from its first values, for searchers with constants in an absolute unit."""

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST = 2.0**20  # larger first sizes are scaled down to it, far below the overflow of a squared gradient


def units(first: Float[Tensor, "*k"], least: float) -> Float[Tensor, "*k"]:
    """Return the powers of two that bring `first` sizes into [least, LARGEST]; 1 for sizes in it, and for 0.

    A score may have any unit. A searcher that divides its gradients or differences by these behaves as for a score
    of ordinary size. A division by a power of two is exact, and ordinary scores are unchanged.
    """
    size = first.nan_to_num(0.0, 0.0, 0.0)
    low, high = (torch.frexp(first.new_tensor(limit)).exponent for limit in (least, LARGEST))
    power = torch.frexp(size).exponent
    excess = (power - low).clamp(max=0) + (power - high).clamp(min=0)
    return torch.ldexp(torch.ones_like(size), torch.where(size > 0, excess, 0))
