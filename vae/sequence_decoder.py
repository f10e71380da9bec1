"""Base class of decoders of sequences, whose tokens depend on the latent and on the tokens before them."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad

from lso_bench.vae.likelihoods.categorical import END

NEVER = -1e4  # logit of a token after the end; finite, so that gradients are
Before = Int[Tensor, " b"] | Float[Tensor, "b v"]  # token before each position, or probabilities of tokens
Steps = Callable[[Before | None], Float[Tensor, "b v"]]  # logits of the next token; None before the first


class SequenceDecoder(nn.Module, ABC):
    """Decoder that in training gets the teacher's tokens before each position, and in a search those that it decoded.

    In training a token before is hidden with the probability `dropout`. Source: Bowman et al. 2016, "Generating
    Sentences from a Continuous Space", section 3.1.
    """

    given_teacher = True  # logits at a position are given the teacher's tokens before it
    embedding: nn.Linear  # of one-hot tokens (v), or of probabilities

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout

    @abstractmethod
    def logits(self, z: Float[Tensor, "b d"], before: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        """Return the logits at each position, given the tokens before it; zeros stand for no token."""

    @abstractmethod
    def steps(self, z: Float[Tensor, "b d"]) -> Steps:
        """Return a function that decodes one position a call, and keeps what it computed for the positions before."""

    def forward(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        before = pad(teacher[:, :-1], (0, 0, 1, 0))
        if self.training and self.dropout:
            before = before * (torch.rand_like(before[..., :1]) >= self.dropout)
        ended = pad(teacher[:, :-1, END, None], (0, 0, 1, 0)) > 0.5
        return self.after_end(self.logits(z, before), ended)

    @staticmethod
    def after_end(logits: Float[Tensor, "*b v"], ended: Bool[Tensor, "*b 1"]) -> Float[Tensor, "*b v"]:
        """Return logits that allow ends alone where a sequence has ended."""
        only_end = logits.new_full(logits.shape[-1:], NEVER)
        only_end[END] = 0
        return torch.where(ended, only_end, logits)


def of_token(table: Float[Tensor, "v e"], before: Before) -> Float[Tensor, "b e"]:
    """Return the rows of tokens, or the mean of rows weighted by probabilities."""
    return before @ table if before.is_floating_point() else table[before]
