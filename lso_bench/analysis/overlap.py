"""Largest set of contestants that share enough blocks, where not all of them do.

Which contestants are compared depends on what was run, never on how it ended.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from lso_bench.analysis.rank_tests import fewest_blocks

PATTERNS = 20  # rows with different contestants from which the search starts
Count = Callable[[Bool[np.ndarray, " k"]], int]  # from contestants to the blocks that all of them have
Needed = Callable[[int], int]  # from the number of contestants to the fewest blocks


def complete_cells(
    cells: pd.DataFrame, blocks: Int[np.ndarray, " r"], fewest: int = 2, needed: Needed = fewest_blocks
) -> pd.DataFrame:
    """Return the complete rows of the contestants that are compared; empty if no two share a row.

    All are compared if they share enough blocks for a test. Else it is the largest set that does; if none does, the
    largest that shares any.

    Args:
        cells: a column for each of k contestants, NaN where it did not run.
        blocks: number of the block of each of r rows.
        fewest: contestants that a test needs.
        needed: blocks that a test of so many contestants needs.
    """
    rows = np.unique(np.column_stack([blocks, cells.notna().to_numpy()]), axis=0)
    has = rows[:, 1:].astype(bool)

    def count(contestants: Bool[np.ndarray, " k"]) -> int:
        return len(np.unique(rows[has[:, contestants].all(axis=1), 0]))

    tests = (needed, fewest), (lambda k: 1, 2)  # blocks and contestants: of a test, of any comparison
    chosen = next((s for n, k in tests if (s := _largest(has, count, n, k)) is not None), np.zeros(has.shape[1], bool))
    return cells.loc[:, chosen].dropna() if chosen.any() else cells.iloc[:0]


def _largest(has: Bool[np.ndarray, "r k"], count: Count, needed: Needed, fewest: int) -> Bool[np.ndarray, " k"] | None:
    """Return the largest set of contestants that share the blocks they need; None if no set of the fewest does.

    The search starts from all contestants, and from those of the commonest rows. It leaves out one after another. All
    are returned where those that are left share no more blocks than all do: nothing says whom to leave out.
    """
    everyone = np.ones(has.shape[1], bool)
    if len(everyone) >= fewest and count(everyone) >= needed(len(everyone)):
        return everyone
    patterns, counts = np.unique(has, axis=0, return_counts=True)
    common = patterns[np.argsort(-counts, kind="stable")[:PATTERNS]]
    sets = [_reduced(start, has, count, needed, fewest) for start in (everyone, *common)]
    largest = max((s for s in sets if s is not None), key=lambda s: (int(s.sum()), count(s)), default=None)
    return everyone if largest is not None and count(everyone) == count(largest) else largest


def _reduced(
    contestants: Bool[np.ndarray, " k"], has: Bool[np.ndarray, "r k"], count: Count, needed: Needed, fewest: int
) -> Bool[np.ndarray, " k"] | None:
    """Leave out the contestant without whom the others share most, until they share enough blocks; None if never."""
    while contestants.sum() >= fewest:
        if count(contestants) >= needed(int(contestants.sum())):
            return contestants
        without = [contestants & (np.arange(len(contestants)) != i) for i in np.flatnonzero(contestants)]
        contestants = max(without, key=lambda s: (count(s), int(has[:, s].sum())))
    return None
