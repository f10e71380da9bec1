"""Best texts of a comparison: of each group of searches the best valid text, with what is known beside its score."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pandas as pd

from lso_bench.analysis.table import GROUP_KEYS

BESIDE = ("novel", "length", "longer_than", "similarity")  # auxiliary values of a text


def best_texts(searches: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row for each group whose searches found texts: GROUP_KEYS, `text`, `score`, `nearest` and BESIDE.

    A group without a valid text has an empty text and NaN as its score. `found` is the share of its searches that saw
    a valid text.
    """
    names = [*GROUP_KEYS, *by, "found", "text", "score", "nearest", *BESIDE]
    if "beside:valid" not in searches:
        return pd.DataFrame(columns=names)
    groups = cast(pd.DataFrame, searches[searches["beside:valid"].notna()]).groupby("group_id", sort=False)
    rows = [_best(group) for _, group in groups if (group.text + group.final_text).ne("").any()]
    return pd.DataFrame(rows).reindex(columns=names)


def _best(group: pd.DataFrame) -> pd.Series:
    """Return the row of the search that found the best valid text; without a text where none was valid."""
    valid = group["beside:valid"].to_numpy() == 1
    best = group.loc[group.best.where(valid, np.inf).idxmin()].rename(lambda name: str(name).removeprefix("beside:"))
    best["found"], best["score"] = valid.mean(), 0 - best["best"] if valid.any() else np.nan  # 0 - 0 is no -0
    return best
