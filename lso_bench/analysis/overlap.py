"""Largest set of contestants that share enough blocks, where not all of them do.

Which contestants are compared depends on what was run, never on how it ended.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from lso_bench.analysis.rank_tests import BLOCKS

PATTERNS = 20  # rows with different contestants from which the search starts
Count = Callable[[Bool[np.ndarray, " k"]], int]  # from contestants to the blocks that all of them have


def complete_cells(cells: pd.DataFrame, blocks: Int[np.ndarray, " r"], fewest: int = 2) -> pd.DataFrame:
    """Return the complete rows of the contestants that are compared; empty if no two share a row.

    All are compared if they share enough blocks for a test. Else it is the largest set that does; if none does, the
    largest that shares any.

    Args:
        cells: a column for each of k contestants, NaN where it did not run.
        blocks: number of the block of each of r rows.
        fewest: contestants that a test needs.
    """
    rows = np.unique(np.column_stack([blocks, cells.notna().to_numpy()]), axis=0)
    has = rows[:, 1:].astype(bool)

    def count(contestants: Bool[np.ndarray, " k"]) -> int:
        return len(np.unique(rows[has[:, contestants].all(axis=1), 0]))

    tests = (BLOCKS, fewest), (1, 2)  # blocks and contestants: of a test, of any comparison
    chosen = next((s for n, k in tests if (s := _largest(has, count, n, k)) is not None), np.zeros(has.shape[1], bool))
    return cells.loc[:, chosen].dropna() if chosen.any() else cells.iloc[:0]


def _largest(has: Bool[np.ndarray, "r k"], count: Count, blocks: int, fewest: int) -> Bool[np.ndarray, " k"] | None:
    """Return the largest set of contestants that share so many blocks; None if no set of the fewest does.

    The search starts from all contestants, and from those of the commonest rows. It leaves out one after another.
    """
    everyone = np.ones(has.shape[1], bool)
    if len(everyone) >= fewest and count(everyone) >= blocks:
        return everyone
    patterns, counts = np.unique(has, axis=0, return_counts=True)
    common = patterns[np.argsort(-counts, kind="stable")[:PATTERNS]]
    sets = [_reduced(start, has, count, blocks, fewest) for start in (everyone, *common)]
    return max((s for s in sets if s is not None), key=lambda s: (int(s.sum()), count(s)), default=None)


def _reduced(
    contestants: Bool[np.ndarray, " k"], has: Bool[np.ndarray, "r k"], count: Count, blocks: int, fewest: int
) -> Bool[np.ndarray, " k"] | None:
    """Leave out the contestant without whom the others share most, until they share so many blocks; None if never."""
    while contestants.sum() >= fewest:
        if count(contestants) >= blocks:
            return contestants
        without = [contestants & (np.arange(len(contestants)) != i) for i in np.flatnonzero(contestants)]
        contestants = max(without, key=lambda s: (count(s), int(has[:, s].sum())))
    return None
