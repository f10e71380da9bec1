"""Mutation and crossover of sequences of tokens: no latent space."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.evolution import Points, evolve

Tokens = Int[Tensor, "k n t"]


@dataclass(frozen=True)
class StringGA(Searcher):
    """Genetic algorithm of token sequences; it begins with training samples.

    A token is replaced by another, deleted, or gets one before it, as in STONED (Nigam et al. 2021, "Beyond generative
    models", section 2.1). Two parents are joined at one place, the same in both (Holland 1975, chapter 6). What
    would equal the first parent has at least one change. Rates and sizes are inferred.
    """

    population: int = 20  # best sequences so far that have offspring
    offspring: int = 10  # sequences scored together
    mutation: float = 0.05  # chance of each token to change
    indels: float = 0.2  # share of changes that insert or delete a token, in equal parts; the others replace one
    crossover: float = 0.5  # chance of an offspring to have two parents
    space = "samples"
    takes = "sequences"

    def __post_init__(self):
        at_least(self, 2, "population", most=10_000)
        at_least(self, 1, "offspring", most=10_000)
        above(self, 0, "mutation", most=1)
        at_least(self, 0, "indels", "crossover", most=1)

    def design(self, d: int) -> int:
        return self.population

    def search(self, problem: Problem) -> Generator[Points, Float[Tensor, "k n"], None]:
        assert problem.samples is not None, "a searcher of samples gets training samples"
        return evolve(problem, self.population, self.offspring, partial(self._vary, problem.samples.shape))

    def _vary(self, shape: tuple[int, ...], first: Points, second: Points, seeded: torch.Generator) -> Points:
        a, b = (tokens_of(parents, shape) for parents in (first, second))
        crossed = torch.rand(a.shape[:2], generator=seeded) < self.crossover
        joined = torch.where(crossed[..., None], joined_at(a, b, torch.rand(a.shape[:2], generator=seeded)), a)
        mutated = self._mutated(joined, (joined == a).all(-1), shape[1], seeded)
        return one_hot(mutated, shape[1]).flatten(2).to(first)

    def _mutated(self, tokens: Tokens, surely: Bool[Tensor, "k n"], v: int, seeded: torch.Generator) -> Tokens:
        """Change tokens; at least one where `surely`."""
        chance, kind = (torch.rand(tokens.shape, generator=seeded) for _ in range(2))
        symbols = torch.randint(1, max(v - 1, 2), tokens.shape, generator=seeded)
        chance = chance.masked_fill(tokens == 0, torch.inf)  # only what stands before the end changes
        first = chance == chance.amin(-1, keepdim=True)
        changes = (chance < self.mutation) | (first & surely[..., None] & (tokens > 0))
        inserts, deletes = changes & (kind < self.indels / 2), changes & (kind > 1 - self.indels / 2)
        replaces = changes & ~inserts & ~deletes
        replacements = 1 + (tokens - 1 + symbols) % (v - 1)  # another symbol than the token's
        kept = torch.where(replaces, replacements, tokens).masked_fill(deletes, 0)
        changed = compacted(torch.stack([replacements * inserts, kept], -1).flatten(2))[..., : tokens.shape[2]]
        return torch.where((changed[..., :1] == 0), tokens, changed)  # nothing is left of it


def tokens_of(points: Points, shape: tuple[int, ...]) -> Tokens:
    """Return the likeliest tokens of sequences up to their first end, on the CPU; 0 after it."""
    tokens = points.unflatten(-1, shape).argmax(-1).cpu()
    return tokens * (tokens > 0).cumprod(-1)


def joined_at(a: Tokens, b: Tokens, share: Float[Tensor, "k n"]) -> Tokens:
    """Return the tokens of a up to a share of the shorter sequence's length, and those of b after it."""
    shorter = torch.minimum((a > 0).sum(-1), (b > 0).sum(-1))
    cut = 1 + (share * (shorter - 1).clamp(min=1)).long()  # 1 to one less than the length
    return torch.where(torch.arange(a.shape[2]) < cut[..., None], a, b)


def compacted(tokens: Tokens) -> Tokens:
    """Move all zeros to the end; the other tokens keep their order."""
    return tokens.gather(-1, (tokens == 0).sort(dim=-1, stable=True).indices)
