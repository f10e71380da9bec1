"""Sequences that the Markov chain of an Ehrlich function draws, whose entropy is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lso_bench.plugins.settings import at_least
from lso_bench.vae.datasets import TextSource
from lso_bench.vae.ehrlich_function import SYMBOLS, EhrlichFunction


@dataclass(frozen=True)
class Ehrlich(TextSource):
    """Draws of the Markov chain of an Ehrlich function (arXiv 2407.00236), all of `length` symbols and feasible.

    The chain begins in its stationary distribution. The entropy of a draw, a bound of every -ELBO, is exact.
    """

    states: int = 32
    length: int = 32  # pyright: ignore[reportIncompatibleMethodOverride]
    motifs: int = 4
    motif_length: int = 4
    seed: int = 0  # of the function
    count: int = 50_000  # draws in all

    def __post_init__(self):
        at_least(self, 20, "count", most=1_000_000)
        self.function()

    def function(self) -> EhrlichFunction:
        """Return the Ehrlich function of these settings.

        Raises:
            ValueError: there is none.
        """
        return EhrlichFunction(self.states, self.length, self.motifs, self.motif_length, seed=self.seed)

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(SYMBOLS[: self.states])

    @property
    def entropy(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.function().entropy

    def valid(self, texts: Sequence[str]) -> list[bool]:
        return [score is not None for score in self.function().scores(texts)]

    def samples(self, folder: Path) -> UInt8[np.ndarray, "n t"]:
        drawn = self.function().draw(self.count, np.random.default_rng(0))
        return (1 + drawn).astype(np.uint8)  # token 0 is the end, which no draw has
