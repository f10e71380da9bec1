"""Tables of a page: cells, each with what it says and what it is sorted by."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from lso_bench.plotting.numbers import LARGE, power
from lso_bench.report.table import WORDS
from lso_bench.report.table import Cell as Counted
from lso_bench.report.table import Table as Plain
from lso_bench.report.table import text as plain
from lso_bench.text import one_line

LONGEST = 80  # letters of a name in a table


class Cell(NamedTuple):
    """`order`: the number that it is sorted by; None: by its text. `model`: of which it bears the colour."""

    text: str
    order: float | None = None
    model: str = ""


@dataclass(frozen=True)
class Table:
    """Columns of words, then columns of numbers."""

    title: str
    words: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: list[list[Cell]]
    caption: str = ""


def html_table(table: Plain) -> Table:
    """The table as the terminal has it, of which a column of numbers is sorted by what its cells count."""
    count = next((i for i, name in enumerate(table.columns) if name not in WORDS), len(table.columns))
    rows = [[*map(word, map(plain, row[:count])), *map(_counted, row[count:])] for row in table.rows]
    for row, cells in zip(table.rows, rows, strict=True):
        if table.columns[0] == "model":
            cells[0] = model(plain(row[0]))
    return Table(table.title, table.columns[:count], table.columns[count:], rows, table.caption)


def _counted(cell: str | Counted) -> Cell:
    """One that counts nothing is sorted last."""
    if isinstance(cell, str):
        return Cell(cell, math.nan)
    return Cell(cell.text.replace("-", "\N{MINUS SIGN}"), cell.order)


def word(text: object) -> Cell:
    return Cell(short(text))


def model(name: object) -> Cell:
    return Cell(short(name), model=str(name))


def number(value: Any, form: Callable[[float], str] | None = None) -> Cell:
    """Empty where there is none; an infinite one is more than any other."""
    if value is None or math.isnan(value):
        return Cell("", math.nan)
    return Cell((form or figure)(value), float(value))


def interval(row: dict[str, Any], form: Callable[[float], str] | None = None) -> Cell:
    """From low to high; sorted by its middle."""
    low, high = row.get("low", math.nan), row.get("high", math.nan)
    if math.isnan(low) or math.isnan(high):
        return Cell("", math.nan)
    return Cell(f"{(form or figure)(low)} to {(form or figure)(high)}", (low + high) / 2)


def figure(value: float) -> str:
    """Three or four digits that count."""
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
    """Some of them, in words."""
    found = [short(t) for t in dict.fromkeys(texts)]
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest
