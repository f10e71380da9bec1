"""Recurrent networks of sequences of tokens."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from lso_bench.vae.likelihoods.categorical import END
from lso_bench.vae.recurrence import states
from lso_bench.vae.sequence_decoder import Before, SequenceDecoder, of_token


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
        hidden = states(self.gru, self.embedding, x, None, x.new_zeros(len(x), self.gru.hidden_size))
        ended = pad(x[:, :-1, END].cummax(1).values, (0, 1), value=1.0)  # the last state is that of what has no end
        weights = ended.diff(dim=1, prepend=torch.zeros_like(ended[:, :1]))  # (b, t)
        return self.exit((weights[..., None] * hidden).sum(1))


class RecurrentDecoder(SequenceDecoder):
    """GRU whose input at each position is the latent and the embedded token before; the latent gives its first state.

    Source of the kind: Bowman et al. 2016, "Generating Sentences from a Continuous Space".
    """

    def __init__(self, vocabulary: int, latent: int, embedding: int, hidden: int, dropout: float = 0.0):
        super().__init__(dropout)
        self.embedding = nn.Linear(vocabulary, embedding, bias=False)
        self.entry = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh())
        self.gru = nn.GRU(embedding + latent, hidden, batch_first=True)
        self.exit = nn.Linear(hidden, vocabulary)

    def logits(self, z: Float[Tensor, "b d"], before: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        return self.exit(states(self.gru, self.embedding, before, z, self.entry(z)))

    def steps(self, z: Float[Tensor, "b d"]) -> "RecurrentSteps":
        return RecurrentSteps(self, z)


class RecurrentSteps:
    """Steps of a recurrent decoder; of a GRU's input, the parts of the latent and of each token are computed once."""

    def __init__(self, decoder: RecurrentDecoder, z: Float[Tensor, "b d"]):
        embedding = decoder.embedding.weight  # (e, v)
        of_input, self.weight, input_bias, self.bias = decoder.gru.all_weights[0]
        of_embedding, of_latent = of_input.split([len(embedding), z.shape[-1]], dim=1)  # (3h, e), (3h, d)
        self.decoder, self.state = decoder, decoder.entry(z)
        self.of_tokens, self.of_latent = (of_embedding @ embedding).T, linear(z, of_latent, input_bias)

    def __call__(self, before: Before | None) -> Float[Tensor, "b v"]:
        inputs = self.of_latent if before is None else self.of_latent + of_token(self.of_tokens, before)
        recurrent = linear(self.state, self.weight, self.bias)
        h = self.state.shape[-1]
        reset, update = (inputs[:, : 2 * h] + recurrent[:, : 2 * h]).sigmoid().chunk(2, -1)
        new = (inputs[:, 2 * h :] + reset * recurrent[:, 2 * h :]).tanh()
        self.state = torch.lerp(new, self.state, update)
        return self.decoder.exit(self.state)
