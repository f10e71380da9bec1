"""Ehrlich functions: sequences that a Markov chain allows, scored by the spaced motifs in them.

Source: Stanton et al. 2024, "Closed-Form Test Functions for Biophysical Sequence Design Benchmarking" (arXiv
2407.00236). The transitions, motifs and spacings are those of `Ehrlich` of the package pytorch-holo 0.0.5 for the same
settings.
"""

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

from lso_bench.plugins.settings import at_least
from lso_bench.vae.torch_draws import TorchDraws

SYMBOLS = string.ascii_uppercase + string.ascii_lowercase + string.digits  # of the states 0, 1, ...
TEMPERATURE = 0.5  # of the softmax of a row of transitions
BAND = 0.4  # share of the states, to either side of a row's, that stay possible


class Parts(NamedTuple):
    """Transitions, motifs and spacings, which the seed of an Ehrlich function draws."""

    transitions: Float64[np.ndarray, "v v"]  # probability of each state (column) after each state (row)
    motifs: Int64[np.ndarray, "c m"]  # states
    offsets: Int64[np.ndarray, "c m"]  # places of a motif's states, from that of its first


@dataclass(frozen=True)
class EhrlichFunction:
    """An Ehrlich function of sequences of `length` states, 0 to `states` - 1; its largest value is 1."""

    states: int = 32
    length: int = 32
    motifs: int = 4
    motif_length: int = 4
    quantization: int = 0  # levels of a motif's presence, a divisor of its length; 0: as many as it has states
    epistasis: float = 0.0  # how much less than its share a motif that is partly present counts
    seed: int = 0

    def __post_init__(self):
        at_least(self, 4, "states", most=len(SYMBOLS))
        at_least(self, 2, "motif_length")
        at_least(self, 1, "motifs")
        at_least(self, self.motifs * self.motif_length, "length", most=1000)
        at_least(self, 0, "epistasis", most=4)
        at_least(self, 0, "quantization", "seed", most=2**31)
        if self.motif_length % self.levels:
            raise ValueError(f"quantization: wanted a divisor of {self.motif_length}, got {self.quantization}")
        if not _connected(self.parts.transitions > 0):
            raise ValueError(f"seed: wanted a chain that reaches every state, got none by {self.seed}; choose another")

    @property
    def levels(self) -> int:
        """Return the number of levels of a motif's presence above 0."""
        return self.quantization or self.motif_length

    @property
    def parts(self) -> "Parts":
        """Return what the seed draws."""
        return _parts(self.states, self.length, self.motifs, self.motif_length, self.seed)

    @property
    def entropy(self) -> float:
        """Return the entropy of a draw in nats: of its first state, and of each further one given the one before."""
        chances = stationary(self.parts.transitions)
        further = chances @ _entropies(self.parts.transitions)
        return float(_entropies(chances[None])[0] + (self.length - 1) * further)

    def draw(self, n: int, rng: np.random.Generator) -> Int64[np.ndarray, "n t"]:
        """Draw sequences of the chain, which begins in its stationary distribution."""
        drawn = np.zeros((n, self.length), np.int64)
        drawn[:, 0] = _choices(np.broadcast_to(stationary(self.parts.transitions).cumsum(), (n, self.states)), rng)
        ends = self.parts.transitions.cumsum(1)
        for t in range(1, self.length):
            drawn[:, t] = _choices(ends[drawn[:, t - 1]], rng)
        return drawn

    def feasible(self, sequences: Int64[np.ndarray, "n t"]) -> Bool[np.ndarray, " n"]:
        """Return whether the chain allows every transition of a sequence."""
        return (self.parts.transitions[sequences[:, :-1], sequences[:, 1:]] > 0).all(1)

    def values(self, sequences: Int64[np.ndarray, "n t"]) -> Float64[np.ndarray, " n"]:
        """Return the product over motifs of their presence, in [0, 1], whether a sequence is feasible or not."""
        present = np.stack(
            [self._presence(sequences, *motif) for motif in zip(self.parts.motifs, self.parts.offsets, strict=True)]
        )
        return (present * (1 + self.epistasis * present * (present - 1))).prod(0)

    def _presence(
        self, sequences: Int64[np.ndarray, "n t"], motif: np.ndarray, offsets: np.ndarray
    ) -> Float64[np.ndarray, " n"]:
        """Return the share of a motif where most of it stands, rounded down to a level."""
        places = np.arange(self.length - offsets[-1])[:, None] + offsets
        counts = (sequences[:, places] == motif).sum(-1).max(1)
        return counts // (self.motif_length // self.levels) / self.levels

    def scores(self, texts: Sequence[str]) -> list[float | None]:
        """Return the value of each text, a symbol a state; None of one that is not feasible, or has another length."""
        readable = [len(text) == self.length and set(text) <= set(SYMBOLS[: self.states]) for text in texts]
        rows = [[SYMBOLS.index(c) for c in text] for text, can in zip(texts, readable, strict=True) if can]
        sequences = np.array(rows, np.int64).reshape(-1, self.length)
        values = iter(np.where(self.feasible(sequences), self.values(sequences), np.nan).tolist())
        scores = [next(values) if can else math.nan for can in readable]
        return [None if math.isnan(score) else score for score in scores]

    def solution(self) -> Int64[np.ndarray, " t"]:
        """Return a sequence of value 1: the motifs after each other, each state repeated up to the next."""
        lengths = [np.diff(offsets, append=offsets[-1] + 1) for offsets in self.parts.offsets]
        states = np.repeat(self.parts.motifs.ravel(), np.concatenate(lengths))
        return np.pad(states, (0, self.length - len(states)), mode="edge")


@lru_cache(maxsize=64)
def _parts(states: int, length: int, motifs: int, motif_length: int, seed: int) -> Parts:
    draws = TorchDraws(seed)
    transitions = _transitions(states, draws)
    one = [draws.choice(stationary(transitions))]  # sequence of all motifs, so that they can follow each other
    for _ in range(motifs * motif_length - 1):
        one.append(draws.choice(transitions[one[-1]]))
    spare = (length - len(one)) // motifs
    offsets = [_offsets(draws.uniform(motif_length - 1), spare) for _ in range(motifs)]
    return Parts(transitions, np.reshape(one, (motifs, motif_length)), np.stack(offsets))


def stationary(transitions: Float64[np.ndarray, "v v"]) -> Float64[np.ndarray, " v"]:
    """Return the distribution that transitions leave as it is."""
    states = len(transitions)
    equations = np.concatenate([np.eye(states) - transitions.T, np.ones((1, states))])
    return np.linalg.lstsq(equations, np.eye(states + 1)[-1], rcond=None)[0]


def _transitions(states: int, draws: TorchDraws) -> Float64[np.ndarray, "v v"]:
    """Draw transitions: a softmax of normal numbers, of which a band of states and each state itself stay possible."""
    chances = np.exp(draws.normal(states * states).reshape(states, states) / TEMPERATURE)
    distance = (np.arange(states) - np.arange(states)[:, None]) % states
    band = np.minimum(distance, states - distance) <= int(states * BAND)
    chances *= band[draws.permutation(states)] | np.eye(states, dtype=bool)
    return chances / chances.sum(1, keepdims=True)


def _offsets(uniform: Float64[np.ndarray, " g"], spare: int) -> Int64[np.ndarray, " m"]:
    """Return the offsets of a motif that takes at most `spare` places more than it has states."""
    gaps = 1 + np.floor(spare * (uniform / uniform.sum())).astype(np.int64)
    return np.concatenate([[0], gaps.cumsum()])


def _connected(possible: Bool[np.ndarray, "v v"]) -> bool:
    """Return whether every state is reached from every state, where each can be repeated."""
    for _ in range(len(possible).bit_length()):
        possible = possible @ possible
    return bool(possible.all())


def _entropies(chances: Float64[np.ndarray, "n v"]) -> Float64[np.ndarray, " n"]:
    return -(chances * np.log(np.where(chances > 0, chances, 1))).sum(-1)


def _choices(ends: Float64[np.ndarray, "n v"], rng: np.random.Generator) -> Int64[np.ndarray, " n"]:
    """Draw a number in proportion to each row of chances, given as their sums so far; one of no chance never."""
    return (ends <= rng.random((len(ends), 1)) * ends[:, -1:]).sum(1)
