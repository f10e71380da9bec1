"""Transformers of sequences of tokens."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from lso_bench.vae.likelihoods.categorical import END
from lso_bench.vae.sequence_decoder import Before, SequenceDecoder, of_token

START = 0.02  # standard deviation of the first positions; source: Radford et al. 2018 (GPT), section 4.1


class KeysAndValues(NamedTuple):
    """Keys and values of attention at some positions."""

    keys: Float[Tensor, "b a t w"]
    values: Float[Tensor, "b a t w"]

    def then(self, later: "KeysAndValues") -> "KeysAndValues":
        """Return those of these positions and of later ones."""
        return KeysAndValues(*(torch.cat(pair, 2) for pair in zip(self, later, strict=True)))


class Block(nn.Module):
    """Attention and a hidden layer, each added to its input, which is normalised first.

    Source: Vaswani et al. 2017, "Attention Is All You Need"; normalised first as in Radford et al. 2019 (GPT-2).
    """

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.heads = heads
        self.norm, self.entry, self.exit = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(
        self,
        x: Float[Tensor, "b t w"],
        bias: Float[Tensor, "b 1 1 t"] | None = None,
        causal: bool = False,
        past: KeysAndValues | None = None,
    ) -> tuple[Float[Tensor, "b t w"], KeysAndValues]:
        """Return the output, and the keys and values of all positions.

        Args:
            bias: added to the logits of attention.
            causal: whether a position attends to itself and those before it alone.
            past: keys and values of positions before those of x.
        """
        queries, *present = self.entry(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        known = KeysAndValues(*present) if past is None else past.then(KeysAndValues(*present))
        attended = scaled_dot_product_attention(queries, *known, attn_mask=bias, is_causal=causal)
        x = x + self.exit(attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(x), known


class TransformerEncoder(nn.Module):
    """Transformer over embedded tokens up to the first end, whose mean output gives 2d numbers.

    Probabilities of tokens are taken, too: embeddings are weighted, and positions by the probability that the sequence
    has not ended before them, in attention and in the mean. (Inferred, as in `RecurrentEncoder`.)
    """

    def __init__(self, shape: tuple[int, ...], latent: int, width: int, heads: int, hidden: int, layers: int):
        super().__init__()
        self.embedding = nn.Linear(shape[-1], width, bias=False)
        self.positions = nn.Parameter(START * torch.randn(shape[0], width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.exit = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * latent))

    def forward(self, x: Float[Tensor, "b t v"]) -> Float[Tensor, "b e"]:
        reached = 1 - pad(x[:, :-1, END].cummax(1).values, (1, 0))  # (b, t)
        bias = reached.clamp(min=torch.finfo(x.dtype).tiny).log()[:, None, None]
        states = self.embedding(x) + self.positions
        for block in self.blocks:
            states, _ = block(states, bias)
        weights = reached / reached.sum(1, keepdim=True)
        return self.exit((weights[..., None] * states).sum(1))


class TransformerDecoder(SequenceDecoder):
    """Causal transformer over the tokens before; the latent is added to its input at every position.

    Source of the kind: Li et al. 2020, "Optimus" (arXiv 2004.04092), section 3.1, which adds it to the embeddings.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        latent: int,
        width: int,
        heads: int,
        hidden: int,
        layers: int,
        dropout: float = 0.0,
    ):
        super().__init__(dropout)
        self.embedding = nn.Linear(shape[-1], width, bias=False)
        self.of_latent = nn.Linear(latent, width)
        self.positions = nn.Parameter(START * torch.randn(shape[0], width))
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.exit = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, shape[-1]))

    def logits(self, z: Float[Tensor, "b d"], before: Float[Tensor, "b t v"]) -> Float[Tensor, "b t v"]:
        states = self.embedding(before) + self.of_latent(z)[:, None] + self.positions
        for block in self.blocks:
            states, _ = block(states, causal=True)
        return self.exit(states)

    def steps(self, z: Float[Tensor, "b d"]) -> "TransformerSteps":
        return TransformerSteps(self, z)


class TransformerSteps:
    """Steps of a transformer, which keeps the keys and values of the positions before."""

    def __init__(self, decoder: TransformerDecoder, z: Float[Tensor, "b d"]):
        self.decoder, self.of_latent = decoder, decoder.of_latent(z)
        self.past: list[KeysAndValues | None] = [None] * len(decoder.blocks)
        self.position = 0

    def __call__(self, before: Before | None) -> Float[Tensor, "b v"]:
        state = self.of_latent + self.decoder.positions[self.position]
        if before is not None:
            state = state + of_token(self.decoder.embedding.weight.T, before)
        self.position += 1
        state = state[:, None]
        for i, block in enumerate(self.decoder.blocks):
            state, self.past[i] = block(state, past=self.past[i])
        return self.decoder.exit(state[:, 0])
