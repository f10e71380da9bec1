"""A comparison as JSON and as CSV: all of its measures."""

import json
import math

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.report.frames import plain


def as_json(comparison: Comparison) -> str:
    """All measures, runs and notes; an infinite value (most searches censored) or an undefined one is null."""
    found = comparison.collapse
    everything = {
        "measures": _rows(comparison.measures),
        "tasks": _rows(comparison.tasks),
        "runs": _rows(comparison.runs),
        "collapse": {"points": _rows(found.checkpoint_table), "correlations": _rows(found.correlations)},
        "targets": comparison.targets,
        "notes": comparison.notes,
    }
    return json.dumps(everything, indent=1, allow_nan=False)


def as_csv(comparison: Comparison) -> str:
    """One row a measure; an empty cell is an undefined value, inf one that most searches did not reach.

    Beside it stand how many runs of its group failed, and `code`, the versions of lso-bench behind it. A text that a
    spreadsheet would run as a formula is given a quote first; control characters are replaced.
    """
    same = [*GROUP_KEYS, *comparison.by]
    behind = comparison.runs[[*same, "failed", "code"]].astype({"failed": "Int64"})
    return plain(comparison.measures.merge(behind, how="left", on=same)).to_csv(index=False)


def _rows(table: pd.DataFrame) -> list[dict]:
    return [{str(k): _plain(v) for k, v in row.items()} for row in table.to_dict("records")]


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if hasattr(value, "item") else value  # pyright: ignore[reportAttributeAccessIssue]
