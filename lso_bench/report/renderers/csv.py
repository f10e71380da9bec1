"""Tables as CSV: values, not texts."""

import csv
import io
import math

from lso_bench.files.sanitize import neutral
from lso_bench.report.table import Number, Table


def table(table: Table) -> str:
    """Return the values of a table; a column of intervals is followed by their ends.

    An empty cell is undefined, inf was not reached. Text that a spreadsheet would run as a formula is prefixed with a
    quote.
    """
    columns: list[list[Number | str | None]] = []
    for i, column in enumerate(table.columns):
        cells = [row[i] for row in table.rows]
        columns.append([column.heading, *(cell.value for cell in cells)])
        if any(cell.bounds for cell in cells):
            for end, name in enumerate(("low", "high")):
                columns.append([f"{column.heading}, {name}", *(c.bounds[end] if c.bounds else None for c in cells)])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([map(_field, row) for row in zip(*columns, strict=True)])
    return file.getvalue()


def _field(value: Number | str | None) -> Number | str:
    if isinstance(value, str):
        return neutral(value.replace("\n", " "))
    return "" if value is None or math.isnan(value) else value
