"""When a search has converged, for every threshold at once.

Every `check_every` steps the loss is compared with that of the check before; a threshold is met when the loss fell
by no more than it. Because a searcher's path does not depend on the threshold, one trajectory answers all of them.
Source: arXiv 2103.11349, section 5.4; inferred there: 100 steps (its counts are multiples of 100), and that a rising
loss counts as converged, without which threshold 0 could not be met.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class Thresholds:
    """Where each of k searches first met each threshold."""

    def __init__(self, thresholds: Sequence[float], check_every: int, k: int, d: int):
        self.thresholds, self.check_every = tuple(thresholds), check_every
        self.step_at_threshold: Int[Tensor, "k t"] = torch.full((k, len(self.thresholds)), -1)  # the step; -1: not yet
        self.z_at_threshold: Float[Tensor, "k t d"] = torch.full((k, len(self.thresholds), d), torch.nan)
        self._last: Float[Tensor, " k"] = torch.full((k,), torch.inf)

    def update(
        self,
        step: int,
        loss: Float[Tensor, " k"],
        z: Float[Tensor, "k d"],
        last: Float[Tensor, " k"] | None = None,
    ) -> None:
        """Take note of the losses after `step` steps; looks only at multiples of `check_every`.

        `last`: what they were at the last look, where it was not the same as was seen then.
        """
        if step % self.check_every:
            return
        fell = (self._last if last is None else last) - loss
        self._last = loss.clone()
        if step == 0:
            return
        limits = torch.tensor(self.thresholds)
        new = (self.step_at_threshold < 0) & (fell.unsqueeze(1) <= limits) & loss.isfinite().unsqueeze(1)
        self.step_at_threshold[new] = step
        self.z_at_threshold = torch.where(new.unsqueeze(2), z.unsqueeze(1), self.z_at_threshold)

    def mark_finished(self, which: Int[Tensor, " b"], step: int, z: Float[Tensor, "k d"]) -> None:
        """These searches have come to an end of their own: they meet, at the next look, what they have not met."""
        chosen = torch.zeros(len(self.step_at_threshold), 1, dtype=torch.bool)
        chosen[which] = True
        new = (self.step_at_threshold < 0) & chosen
        self.step_at_threshold[new] = -(-step // self.check_every) * self.check_every
        self.z_at_threshold = torch.where(new.unsqueeze(2), z.unsqueeze(1), self.z_at_threshold)

    @property
    def converged(self) -> Bool[Tensor, " k"]:
        """Which searches have met every threshold; none where there is none to meet."""
        return (
            (self.step_at_threshold >= 0).all(dim=1)
            if self.thresholds
            else torch.zeros(len(self.step_at_threshold), dtype=torch.bool)
        )
