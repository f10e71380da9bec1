"""The negative evidence lower bound, with the encoder trained ahead of the decoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from lso_bench.vae.objectives.elbo import ELBO


@dataclass(frozen=True)
class Aggressive(ELBO):
    """Distortion + rate; before each step of the decoder the encoder takes steps alone, while MI grows.

    Source: He et al. 2019 (arXiv 1901.05534), section 4 and algorithm 1, and their public code for images. The
    encoder takes at most `inner` steps on new batches, until the mean loss of the last `look` is above that of the
    `look` before. Plain training follows when `patience` epochs did not raise the best MI of the validation images.
    As in their code, an epoch that raises it does not reset that count; `reset` makes it do so. MI is estimated
    here against all validation images, theirs in batches. The gradient is clipped here for the trained part, theirs
    for both. Theirs takes at most 99 steps, the first on the batch itself.
    """

    variants: ClassVar = {"aggressive": {}, "aggressive_noanneal": {"anneal": False}}
    inner: int = 100  # most steps of the encoder before a step of the decoder
    look: int = 10  # steps between two checks of the loss
    patience: int = 5  # epochs that do not raise MI
    reset: bool = False  # whether an epoch that raises MI starts the count again

    def __post_init__(self):
        if min(self.inner, self.look, self.patience) < 1:
            raise ValueError("inner, look and patience are 1 or more.")

    def is_aggressive_epoch(self, mi: Sequence[float]) -> bool:
        best, epochs_without_rise = 0.0, 0  # best MI in nats
        for value in mi:
            if value < best:
                epochs_without_rise += 1
            else:
                best, epochs_without_rise = value, 0 if self.reset else epochs_without_rise
            if epochs_without_rise >= self.patience:
                return False
        return True
