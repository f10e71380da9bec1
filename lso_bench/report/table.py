"""Tables before they are rendered, and their rendering in the terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from lso_bench.files.sanitize import one_line

LONGEST = 80  # characters of a cell; names may be of any length
LINE = 1000  # characters of a line of text; captions are shorter
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
)  # left-aligned columns
WHOLE = ("same basin", "wins", "less the best, median", "of")  # columns without line breaks


class Cell(NamedTuple):
    """A text and the number by which its column is sorted."""

    text: str
    order: float


@dataclass(frozen=True)
class Table:
    """A table of unescaped texts and of cells with numbers; the first columns are model and searcher."""

    title: str
    columns: tuple[str, ...]  # headings
    rows: list[tuple[str | Cell, ...]] = field(default_factory=list)
    caption: str = ""
    best: set[tuple[int, int]] = field(default_factory=set)  # row and column of cells in bold


def text(cell: str | Cell) -> str:
    """Return the text of a cell."""
    return cell if isinstance(cell, str) else cell.text


@dataclass(frozen=True)
class Part:
    """Tables below a heading and some lines."""

    heading: str
    lines: list[str]
    tables: list[Table]


def terminal(parts: Iterable[Part], notes: Sequence[str]) -> RenderableType:
    """Render all parts, then the notes."""
    blocks: list[RenderableType] = []
    for part in parts:
        blocks.append(Text(f"\n{one_line(part.heading, LINE)}", style="bold"))
        blocks += [Text(f"  {one_line(line, LINE)}") for line in part.lines]
        blocks += [_rich_table(t) for t in part.tables]
    return Group(*blocks, *(Text(f"! {one_line(note, LINE)}", style="yellow") for note in notes))


def _rich_table(table: Table) -> RichTable:
    rich_table = RichTable(title=table.title, title_justify="left", title_style="italic", box=box.SIMPLE_HEAD)
    rich_table.padding = (0, 1, 0, 0)
    rich_table.caption, rich_table.caption_justify = table.caption or None, "left"
    for i, name in enumerate(table.columns):
        names = [len(one_line(text(row[i]), LONGEST)) for row in table.rows]
        narrow = min(14, max(names, default=0)) if i < 2 else None  # narrower columns would cut most names
        aligned = "left" if name in WORDS else "right"
        rich_table.add_column(Text(one_line(name, LONGEST)), justify=aligned, min_width=narrow, no_wrap=name in WHOLE)
    for i, row in enumerate(table.rows):
        texts = [one_line(text(c), LONGEST) for c in row]
        rich_table.add_row(*(Text(t, "bold" if (i, j) in table.best else "") for j, t in enumerate(texts)))
    return rich_table
