"""Expressions in x, drawn uniformly from a grammar, whose entropy is known."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from lso_bench.files.cache import cached
from lso_bench.plugins.settings import at_least
from lso_bench.vae.datasets import TextSource
from lso_bench.vae.expression_values import POINTS, are_expression_texts, exceeds
from lso_bench.vae.grammar import MOST_RULES, SYMBOLS, count_up_to, draw, longest

TARGET = 1 / 3 + POINTS + np.sin(POINTS * POINTS)  # source: Kusner et al. 2017, section 5
ROUNDS = 50  # of draws, at most, each of as many as are missing
SPARE = 1000  # further draws of a round, as some are left out or double


@dataclass(frozen=True)
class Expressions(TextSource):
    """Distinct expressions in x, drawn uniformly from the grammar of Kusner et al. 2017.

    The entropy of a draw is the logarithm of the number of all expressions: 19.11 nats, a bound of every -ELBO.
    """

    count: int = 100_000  # expressions in all
    rules: int = 15  # of the grammar, at most, in an expression
    bound: float = -0.1  # score for the target 1/3 + x + sin(x * x) above which a draw is left out; 0: none is

    def __post_init__(self):
        at_least(self, 4, "rules", most=MOST_RULES)
        at_least(self, 20, "count", most=min(count_up_to(self.rules) // 2, 1_000_000))
        at_least(self, -5, "bound", most=0)

    @property
    def length(self) -> int:
        return longest(self.rules)

    @property
    def symbols(self) -> tuple[str, ...]:
        return SYMBOLS

    @property
    def entropy(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Return the entropy of a draw in nats, those included that the bound leaves out."""
        return math.log(count_up_to(self.rules))

    def valid(self, texts: Sequence[str]) -> list[bool]:
        return are_expression_texts(texts)

    def samples(self, folder: Path) -> UInt8[np.ndarray, "n t"]:
        return cached(f"expressions-{self.count}-{self.rules}-{self.bound:g}", self.drawn, shape=(self.length,))

    def drawn(self) -> UInt8[np.ndarray, "n t"]:
        """Draw the expressions anew."""
        rng, rows = np.random.default_rng(0), np.zeros((0, self.length), np.uint8)
        for _ in range(ROUNDS):
            drawn = draw(self.rules, self.count - len(rows) + SPARE, rng)
            rows = _distinct(np.concatenate([rows, drawn[~self.left_out(drawn)]]))
            if len(rows) >= self.count:
                return rows[: self.count]
        raise ValueError(f"wanted {self.count} expressions that score at most {self.bound:g}, got {len(rows)}")

    def left_out(self, tokens: UInt8[np.ndarray, "n t"]) -> Bool[np.ndarray, " n"]:
        """Return whether expressions score above the bound."""
        return exceeds(tokens, TARGET, self.bound)


def _distinct(rows: UInt8[np.ndarray, "n t"]) -> UInt8[np.ndarray, "m t"]:
    """Return each row once, where it first stands."""
    packed = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.shape[1])))[:, 0]
    return rows[np.sort(np.unique(packed, return_index=True)[1])]
