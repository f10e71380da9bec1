"""Convergence of searches, for every threshold at once.

Every `check_every` steps the loss is compared with that of the check before. A threshold is met when the loss fell by
no more than it. A searcher's path does not depend on the threshold, so one trajectory answers all of them. Source:
arXiv 2103.11349, section 5.4. Inferred there: 100 steps (its counts are multiples of 100), and that a rising loss
counts as converged, without which threshold 0 could not be met.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Thresholds:
    """First step and latent at which each of k searches met each threshold."""

    def __init__(
        self, thresholds: Sequence[float], check_every: int, k: int, d: int, dtype: torch.dtype = torch.float32
    ):
        self.thresholds, self.check_every = tuple(thresholds), check_every
        self.step_at_threshold: Int[Tensor, "k t"] = torch.full((k, len(self.thresholds)), -1)  # step; -1: not yet
        self.z_at_threshold: Float[Tensor, "k t d"] = torch.full((k, len(self.thresholds), d), torch.nan, dtype=dtype)
        self._last: Float[Tensor, " k"] = torch.full((k,), torch.inf, dtype=dtype)

    def update(
        self,
        step: int,
        loss: Float[Tensor, " k"],
        z: Float[Tensor, "k d"],
        last: Float[Tensor, " k"] | None = None,
    ) -> None:
        """Update by the losses after `step` steps; only multiples of `check_every` count.

        `last`: the losses at the check before, if they differ from those passed then.
        """
        if step % self.check_every:
            return
        fell = (self._last if last is None else last) - loss
        self._last = loss.clone()
        if step == 0:
            return
        limits = torch.tensor(self.thresholds, dtype=fell.dtype)
        new = (self.step_at_threshold < 0) & (fell.unsqueeze(1) <= limits) & loss.isfinite().unsqueeze(1)
        self.step_at_threshold[new] = step
        self.z_at_threshold = torch.where(new.unsqueeze(2), z.unsqueeze(1), self.z_at_threshold)

    def mark_finished(self, searches: Int[Tensor, " b"], step: int, z: Float[Tensor, "k d"]) -> None:
        """Let searches that the searcher ended meet their remaining thresholds at the next check."""
        finished = torch.zeros(len(self.step_at_threshold), 1, dtype=torch.bool)
        finished[searches] = True
        new = (self.step_at_threshold < 0) & finished
        self.step_at_threshold[new] = -(-step // self.check_every) * self.check_every
        self.z_at_threshold = torch.where(new.unsqueeze(2), z.unsqueeze(1), self.z_at_threshold)

    @property
    def converged(self) -> Bool[Tensor, " k"]:
        """Searches that met every threshold, as booleans; all false without thresholds."""
        return (
            (self.step_at_threshold >= 0).all(dim=1)
            if self.thresholds
            else torch.zeros(len(self.step_at_threshold), dtype=torch.bool)
        )
