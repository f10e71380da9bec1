"""Nearest training row of a text by the edit distance of their tokens: exact, bounded first by what rows share."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Int, Shaped

from lso_bench.vae.datasets import TextSource

BLOCK = 500  # rows whose distances are computed at once
UNKNOWN = 256  # token of a character that is part of no symbol


class TrainingRows(list[str]):
    """Training texts of a data set, with their tokens (n, t): those of its symbols, and 0 after the end."""

    def __init__(self, source: TextSource, tokens: Shaped[np.ndarray, "n t"]):
        super().__init__(source.texts(tokens))
        self.as_tokens = TokenRows(source, self, tokens)

    @cached_property
    def known(self) -> frozenset[str]:
        """Return the texts as a set."""
        return frozenset(self)

    def share_shorter(self, length: int) -> float:
        """Return the share of the rows that are shorter than so many tokens."""
        return float((self.as_tokens.lengths < length).mean())


class TokenRows:
    """Texts with their tokens, which are read in the texts where they are not given."""

    def __init__(self, source: TextSource, texts: Sequence[str], tokens: Shaped[np.ndarray, "n t"] | None = None):
        self._parts = source.pattern
        self._tokens = {symbol: token for token, symbol in enumerate(source.symbols, 1)}
        self.texts = texts
        self.matrix = self._matrix(texts) if tokens is None else tokens
        ended = self.matrix == 0
        self.lengths: Int[np.ndarray, " n"] = np.where(ended.any(1), ended.argmax(1), self.matrix.shape[1])

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, which is read as the data set reads it."""
        return [self._tokens.get(part, UNKNOWN) for part in self._parts.findall(text)]

    def nearest(self, text: str) -> tuple[str, float]:
        """Return the row of the highest similarity, and the similarity: 1 - edit distance / the longer length.

        Of several such rows it is one that shares the most tokens with the text. Two empty texts are equal. Without
        rows the similarity is 0.
        """
        if not len(self.texts):
            return "", 0.0
        tokens = self.tokens(text)
        longer = np.maximum(self.lengths, len(tokens))
        at_least, longer = longer - self._shared(tokens), np.maximum(longer, 1)  # edits of each row
        order, best, smallest = np.argsort(at_least / longer, kind="stable"), 0, np.inf
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            block = block[at_least[block] < smallest * longer[block]]
            if not len(block):
                break
            ratios = edit_distances(tokens, self.matrix[block], self.lengths[block]) / longer[block]
            if ratios.min() < smallest:
                best, smallest = int(block[ratios.argmin()]), float(ratios.min())
        return self.texts[best], 1 - smallest

    def _matrix(self, texts: Sequence[str]) -> Shaped[np.ndarray, "n t"]:
        rows = [self.tokens(text) for text in texts]
        matrix = np.zeros((len(rows), max([1, *map(len, rows)])), np.int16)
        for row, tokens in zip(matrix, rows, strict=True):
            row[: len(tokens)] = tokens
        return matrix

    @cached_property
    def _counts(self) -> Shaped[np.ndarray, "v n"]:
        """Return how often each token stands in each row, 255 at most."""
        counts, places = np.zeros((UNKNOWN + 1, len(self.texts)), np.uint8), np.arange(len(self.texts))
        for column, tokens in enumerate(self.matrix.T):
            inside = (column < self.lengths) & (counts[tokens, places] < 255)
            counts[tokens[inside], places[inside]] += 1
        return counts

    def _shared(self, tokens: Sequence[int]) -> Int[np.ndarray, " n"]:
        """Return how many tokens each row shares with a text in any order; the others of the longer are edited."""
        shared, asked = np.zeros(len(self.texts), int), np.bincount(np.array(tokens, int))
        for token in np.flatnonzero(asked):
            counts = self._counts[token]
            shared += np.where(counts == 255, asked[token], np.minimum(counts, min(asked[token], 255)))
        return shared


def edit_distances(
    tokens: Sequence[int], rows: Shaped[np.ndarray, "n t"], lengths: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Return the edit distance of each row to a sequence: insertions, deletions and substitutions (Levenshtein 1966).

    One line of the table is computed at a time (Wagner & Fischer 1974); insertions are a running minimum.
    """
    places = np.arange(rows.shape[1] + 1, dtype=np.int16)
    distances = np.broadcast_to(places, (len(rows), len(places)))
    for i, token in enumerate(tokens, 1):
        before, distances = distances, np.empty((len(rows), len(places)), np.int16)
        distances[:, 0] = i
        distances[:, 1:] = np.minimum(before[:, 1:] + 1, before[:, :-1] + (rows != token))
        distances = np.minimum.accumulate(distances - places, axis=1) + places
    return distances[np.arange(len(rows)), lengths]
