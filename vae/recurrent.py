"""Recurrent networks of sequences of tokens."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from lso_bench.vae.likelihoods.categorical import END

NEVER = -1e4  # logit of a token after the end; finite, so that gradients are


class RecurrentEncoder(nn.Module):
    """GRU over embedded tokens, whose state at the first end, or after the last token, gives 2d numbers.

    Probabilities of tokens are taken, too: embeddings are weighted, and so are the states, by the probability of the
    first end. (Inferred: the probability of having ended is the largest probability of an end so far.)
    """

    def __init__(self, vocabulary: int, latent: int, embedding: int, hidden: int):
        super().__init__()
        self.embedding = nn.Linear(vocabulary, embedding, bias=False)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)
        self.exit = nn.Linear(hidden, 2 * latent)

    def forward(self, x: Float[Tensor, "b t v"]) -> Float[Tensor, "b e"]:
        states, _ = self.gru(self.embedding(x))
        ended = pad(x[:, :-1, END].cummax(1).values, (0, 1), value=1.0)  # the last state is that of what has no end
        weights = ended.diff(dim=1, prepend=torch.zeros_like(ended[:, :1]))  # (b, t)
        return self.exit((weights[..., None] * states).sum(1))


class RecurrentDecoder(nn.Module):
    """GRU whose input at each position is the latent and the embedded token before; the latent gives its first state.

    In training a token before is hidden with the probability `dropout`. Source: Bowman et al. 2016, "Generating
    Sentences from a Continuous Space", section 3.1.
    """

    given_teacher = True  # logits at a position are given the teacher's tokens before it

    def __init__(self, vocabulary: int, latent: int, embedding: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.embedding = nn.Linear(vocabulary, embedding, bias=False)
        self.entry = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh())
        self.gru = nn.GRU(embedding + latent, hidden, batch_first=True)
        self.exit = nn.Linear(hidden, vocabulary)

    def forward(self, z: Float[Tensor, "b d"], teacher: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        before = pad(teacher[:, :-1], (0, 0, 1, 0))  # nothing before the first token
        if self.training and self.dropout:
            before = before * (torch.rand_like(before[..., :1]) >= self.dropout)
        logits, _ = self.step(z, before, self.initial(z))
        return self.after_end(logits, pad(teacher[:, :-1, END, None], (0, 0, 1, 0)) > 0.5)

    def initial(self, z: Float[Tensor, "b d"]) -> Float[Tensor, "1 b h"]:
        """Return the state before the first token."""
        return self.entry(z)[None]

    def step(
        self, z: Float[Tensor, "b d"], before: Float[Tensor, "b t v"], state: Float[Tensor, "1 b h"]
    ) -> tuple[Float[Tensor, "b t v"], Float[Tensor, "1 b h"]]:
        """Return the logits of tokens given those before each, and the state after the last."""
        latents = z[:, None].expand(-1, before.shape[1], -1)
        states, state = self.gru(torch.cat([self.embedding(before), latents], -1), state)
        return self.exit(states), state

    @staticmethod
    def after_end(logits: Float[Tensor, "b t v"], ended: Bool[Tensor, "b t 1"]) -> Float[Tensor, "b t v"]:
        """Return logits that allow ends alone where a sequence has ended."""
        only_end = torch.full_like(logits[:1, :1], NEVER)
        only_end[..., END] = 0
        return torch.where(ended, only_end, logits)
