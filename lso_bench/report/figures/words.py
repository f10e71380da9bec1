"""What a figure shows, in words."""

import pandas as pd

from lso_bench.plotting.style import label

MOST = 24  # figures that are read out


def values_in_words(what: str, rows: pd.DataFrame, column: str, *more: str) -> str:
    """The value of each row, by searcher and model."""
    named = rows[["searcher_label", "model", *more]].astype(str).map(label).agg(", ".join, axis=1)
    said = [f"{name} {value:.3g}" for name, value in zip(named, rows[column], strict=True)]
    rest = f"; and {len(said) - MOST} more, in the tables" if len(said) > MOST else ""
    return f"{what}: {'; '.join(said[:MOST])}{rest}."


def count_range(n: pd.Series) -> str:
    """50, or 50 to 200."""
    low, high = int(n.min()), int(n.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
