"""Export of a comparison as JSON and CSV, with all of its measures."""

import json
import math

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.groups import CODE
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.analysis.united import with_known_dimensions
from lso_bench.report.frames import plain


def as_json(comparison: Comparison) -> str:
    """Return all measures, runs and notes as JSON.

    Infinite values (most searches censored) and undefined values are null.
    """
    collapse = comparison.collapse
    content = {
        "measures": _rows(comparison.measures),
        "tasks": _rows(comparison.tasks),
        "runs": _rows(comparison.runs.drop(columns=[*CODE], errors="ignore")),
        "collapse": {"points": _rows(collapse.checkpoint_table), "correlations": _rows(collapse.correlations)},
        "targets": comparison.targets,
        "notes": comparison.notes,
    }
    return json.dumps(content, indent=1, allow_nan=False)


def as_csv(comparison: Comparison) -> str:
    """Return one row per measure as CSV; an empty cell is undefined, inf was not reached by most searches.

    Each row also has the number of failed runs of its group, and `code`, the versions of lso-bench. Text that a
    spreadsheet would run as a formula is prefixed with a quote. Control characters are replaced.
    """
    group_columns = [*GROUP_KEYS, *comparison.by]
    run_columns = comparison.runs[[*group_columns, "failed", "code"]].astype({"failed": "Int64"})
    rows = comparison.measures.merge(run_columns, how="left", on=group_columns)
    return plain(with_known_dimensions(rows)).to_csv(index=False)


def _rows(table: pd.DataFrame) -> list[dict]:
    return [{str(k): _plain(v) for k, v in row.items()} for row in with_known_dimensions(table).to_dict("records")]


def _plain(value: object) -> object:
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if hasattr(value, "item") else value  # pyright: ignore[reportAttributeAccessIssue]
