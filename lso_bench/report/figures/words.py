"""Alternative text of figures."""

import pandas as pd

from lso_bench.plotting.style import label

MOST = 24  # values in a sentence


def values_in_words(title: str, rows: pd.DataFrame, column: str, *columns: str) -> str:
    """List the value of each row, named by searcher and model, as a sentence."""
    row_names = rows[["searcher_label", "model", *columns]].astype(str).map(label).agg(", ".join, axis=1)
    texts = [f"{name} {value:.3g}" for name, value in zip(row_names, rows[column], strict=True)]
    rest = f"; and {len(texts) - MOST} more, in the tables" if len(texts) > MOST else ""
    return f"{title}: {'; '.join(texts[:MOST])}{rest}."


def count_range(n: pd.Series) -> str:
    """Format a range of counts: 50, or 50 to 200."""
    low, high = int(n.min()), int(n.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
