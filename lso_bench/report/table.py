"""A table before it is drawn, and as it is drawn in the terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as Drawn
from rich.text import Text

from lso_bench.text import one_line

LONGEST = 80  # characters of a cell: names may be anything
LINE = 1000  # of a line of text; captions are shorter
WORDS = (
    "model",
    "searcher",
    "start",
    "starts",
    "stop",
    "ended by",
    "code",
    "of",
    "of the searches",
)  # columns set to the left
WHOLE = ("same basin", "wins", "less the best, median", "of")  # columns that are not broken


class Cell(NamedTuple):
    """A text as it is read, and the number by which its column is sorted."""

    text: str
    order: float


@dataclass(frozen=True)
class Table:
    """Texts as they are read, nothing escaped, and cells with a number; first columns: model and searcher."""

    title: str
    columns: tuple[str, ...]  # headings
    rows: list[tuple[str | Cell, ...]] = field(default_factory=list)
    caption: str = ""
    best: set[tuple[int, int]] = field(default_factory=set)  # row and column of cells in bold


def text(cell: str | Cell) -> str:
    """What is read in a cell."""
    return cell if isinstance(cell, str) else cell.text


@dataclass(frozen=True)
class Part:
    """Tables that stand together under a heading and some lines."""

    heading: str
    lines: list[str]
    tables: list[Table]


def terminal(parts: Iterable[Part], notes: Sequence[str]) -> RenderableType:
    """All parts, then the notes."""
    drawn: list[RenderableType] = []
    for part in parts:
        drawn.append(Text(f"\n{one_line(part.heading, LINE)}", style="bold"))
        drawn += [Text(f"  {one_line(line, LINE)}") for line in part.lines]
        drawn += [_drawn(t) for t in part.tables]
    return Group(*drawn, *(Text(f"! {one_line(note, LINE)}", style="yellow") for note in notes))


def _drawn(table: Table) -> Drawn:
    drawn = Drawn(title=table.title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD)
    drawn.padding = (0, 1, 0, 0)
    drawn.caption, drawn.caption_justify = table.caption or None, "left"
    for i, name in enumerate(table.columns):
        names = [len(one_line(text(row[i]), LONGEST)) for row in table.rows]
        narrow = min(14, max(names, default=0)) if i < 2 else None  # less would cut most names
        aligned = "left" if name in WORDS else "right"
        drawn.add_column(Text(one_line(name, LONGEST)), justify=aligned, min_width=narrow, no_wrap=name in WHOLE)
    for i, row in enumerate(table.rows):
        texts = [one_line(text(c), LONGEST) for c in row]
        drawn.add_row(*(Text(t, "bold" if (i, j) in table.best else "") for j, t in enumerate(texts)))
    return drawn
