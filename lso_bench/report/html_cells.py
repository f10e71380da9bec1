"""Tables of the HTML page: cells with a text and a value to sort by."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lso_bench.files.sanitize import one_line
from lso_bench.plotting.numbers import LARGE, power
from lso_bench.report.table import WORDS
from lso_bench.report.table import Cell as NumberCell
from lso_bench.report.table import Table as PlainTable
from lso_bench.report.table import text as plain

LONGEST = 80  # characters of a name in a table


class Cell(NamedTuple):
    """A cell: its text, `order` to sort by (None: by text), and the `model` whose colour it has."""

    text: str
    order: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Table:
    """A table: columns of words, then columns of numbers."""

    title: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: list[list[Cell]]
    caption: str = ""


def html_table(table: PlainTable) -> Table:
    """Convert a terminal table; columns of numbers are sorted by the numbers of their cells."""
    n_words = next((i for i, name in enumerate(table.columns) if name not in WORDS), len(table.columns))
    rows = [[*map(word, map(plain, row[:n_words])), *map(_number_cell, row[n_words:])] for row in table.rows]
    for row, cells in zip(table.rows, rows, strict=True):
        if table.columns[0] == "model":
            cells[0] = model(plain(row[0]))
    return Table(table.title, table.columns[:n_words], table.columns[n_words:], rows, table.caption)


def _number_cell(cell: str | NumberCell) -> Cell:
    """Convert a cell of a number column; a cell without a number is sorted last."""
    if isinstance(cell, str):
        return Cell(cell, math.nan)
    return Cell(cell.text.replace("-", "\N{MINUS SIGN}"), cell.order)


def word(text: object) -> Cell:
    return Cell(short(text))


def model(name: object) -> Cell:
    return Cell(short(name), model=str(name))


def number(value: Any, form: Callable[[float], str] | None = None) -> Cell:
    """Format a number; empty if it is undefined. Infinity is sorted last."""
    if value is None or math.isnan(value):
        return Cell("", math.nan)
    return Cell((form or figure)(value), float(value))


def interval(row: dict[str, Any], form: Callable[[float], str] | None = None) -> Cell:
    """Format an interval, sorted by its middle."""
    low, high = row.get("low", math.nan), row.get("high", math.nan)
    if math.isnan(low) or math.isnan(high):
        return Cell("", math.nan)
    return Cell(f"{(form or figure)(low)} to {(form or figure)(high)}", (low + high) / 2)


def figure(value: float) -> str:
    """Format with three or four significant digits."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value != 0 and abs(value) < 0.001:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "\N{MINUS SIGN}")
    if abs(value) >= LARGE:
        return power(value).replace("-", "\N{MINUS SIGN}")
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}" if abs(value) >= 10 else f"{value:#.3g}"
    return "0" if value == 0 else text.replace("-", "\N{MINUS SIGN}")


def share(value: float) -> str:
    return f"{100 * value:.0f} %"


def short(text: object) -> str:
    return one_line(str(text), LONGEST)


def names(texts: Iterable[object], most: int = 8) -> str:
    """List names, at most `most` of them."""
    shortened = [short(t) for t in dict.fromkeys(texts)]
    suffix = f" and {len(shortened) - most} more" if len(shortened) > most else ""
    return ", ".join(shortened[:most]) + suffix
