"""Reconstruct single sequences: the latent-search task of arXiv 2103.11349, section 5.4, on sequences of tokens."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench import Task

LEAST = 1e-30  # smallest probability of a token: a decoded token that is another one has none


@dataclass(frozen=True)
class ExpressionMatch(Task):
    """Minus the error between a sample and the instance's sequence of tokens; 0 is best.

    `nats`: -log of the probability of the sequence up to and with its first end, 69 for each decoded token that
    differs. `squared`: the squared error of the tokens' probabilities, 2 for each decoded token that differs; its
    gradient vanishes where the decoder is sure of wrong tokens. The sequences are drawn without replacement, by `seed`,
    from the test set. Beside it stands whether the likeliest tokens are exactly those of the sequence.
    """

    data: str = "expressions"
    instances: int = 50
    seed: int = 0  # of the choice of sequences
    error: Literal["nats", "squared"] = "nats"
    sequences: Float[Tensor, "i t v"] | None = None  # not a setting: filled by `bind` and `at`

    optimum = 0.0
    has_targets = True
    variants = {"expression_match50": {"data": "expressions"}}

    def bind(self, test: Float[Tensor, "s *shape"]) -> "ExpressionMatch":
        if test.ndim != 3:
            raise ValueError(f"wanted a data set of sequences, got {self.data!r}; such are expressions, ehrlich")
        if not 1 <= self.instances <= len(test):
            raise ValueError(f"wanted 1 to {len(test)} instances, got {self.instances}")
        chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(self.seed))[: self.instances]
        return replace(self, sequences=test[chosen])

    def at(self, instances: Int[Tensor, " k"]) -> "ExpressionMatch":
        return replace(self, sequences=self.targets()[instances.to(self.targets().device)])

    def targets(self) -> Float[Tensor, "k t v"]:
        assert self.sequences is not None, "bind() comes first"
        return self.sequences

    def score(self, x: Float[Tensor, "k n t v"]) -> Float[Tensor, "k n"]:
        targets = self.targets().unsqueeze(1)
        if self.error == "squared":
            return -(x - targets).square().sum((-2, -1))
        chances = (x * targets).sum(-1).clamp(min=LEAST)  # of the target's token at each position
        return (chances.log() * self._counted()).sum(-1)

    def beside(self, x: Float[Tensor, "k n t v"]) -> dict[str, Float[Tensor, "k n"]]:
        right = x.argmax(-1) == self.targets().argmax(-1).unsqueeze(1)
        return {"exact": (right | ~self._counted()).all(-1).to(x)}

    def _counted(self) -> Tensor:
        """Return whether a position is one up to and with the first end; booleans of shape (k, 1, t)."""
        return (self.targets()[..., 0].cumsum(-1) <= 1).unsqueeze(1)
