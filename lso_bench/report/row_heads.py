"""Rows of a section as dictionaries, and the cells that each begins with."""

from collections.abc import Iterator
from typing import Any

from lso_bench.report.cells import model, word
from lso_bench.report.table import Cell


def row_dicts(rows: Any) -> Iterator[dict[str, Any]]:
    """Yield each row of a DataFrame as a dictionary by column."""
    yield from rows.to_dict("records")


def key(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return the model, searcher and start of a row."""
    return row["model"], row["searcher_label"], row["start"]


def row_head(row: dict[str, Any]) -> tuple[Cell, Cell]:
    """Return the cells of the model and the searcher."""
    return model(row["model"]), word(row["searcher_label"])


def row_key(row: dict[str, Any]) -> tuple[Cell, Cell, Cell]:
    """Return the cells of the model, the searcher and the start."""
    return *row_head(row), word(row["start"])
