"""Tables in the terminal: cells are wrapped and columns stacked so that nothing is cropped."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.constrain import Constrain
from rich.table import Table as RichTable
from rich.text import Text

from lso_bench.files.sanitize import one_line
from lso_bench.report.table import LINE, LONGEST, NAME_WIDTH, Cell, Column, Part, Table

CONTINUED = "... further columns"
ROOMS = (True, 0), (False, 0), (False, 6), (False, 1)  # by room: whether cells stay whole, and letters that names keep
NO_BREAK = "\N{NO-BREAK SPACE}"
Widths = Sequence[int]
Places = Sequence[int]  # places of some columns in a table


def document(parts: Iterable[Part], notes: Sequence[str]) -> RenderableType:
    """Render all parts, then the notes."""
    blocks: list[RenderableType] = []
    for part in parts:
        blocks.append(Text(f"\n{one_line(part.heading, LINE)}", style="bold"))
        blocks += [Text(f"  {one_line(line, LINE)}") for line in part.lines]
        blocks += [table(t) for t in part.tables]
    return Group(*blocks, *map(note, notes))


def note(text: str) -> Text:
    """Render a note below the tables."""
    return Text(f"! {one_line(text, LINE)}", style="yellow")


def table(table: Table) -> RenderableType:
    """Render a table; long texts end in an ellipsis, and are never read as markup."""
    return FittedTable(table)


class FittedTable:
    """A table as wide as the console at most.

    Cells are wrapped between words first. Columns that still have no room stand below the values, with the names of
    their rows.
    """

    def __init__(self, table: Table):
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        blocks = _blocks(self.table, options.max_width)
        width = max(_total(widths) for _, widths in blocks)
        yield Constrain(Text(self.table.title, "italic"), width)
        for i, (places, widths) in enumerate(blocks):
            if i:
                yield Text(CONTINUED, "italic")
            yield _drawn(self.table, places, widths)
        if self.table.caption:
            yield Constrain(Text(self.table.caption, "table.caption"), width)


def _drawn(table: Table, places: Places, widths: Widths) -> RichTable:
    """Return some columns of a table, of these widths."""
    rich_table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, width in zip(places, widths, strict=True):
        heading = "\n".join(_wrapped(line, width) for line in _lines(table.columns[i]))
        side = "left" if table.columns[i].is_text else "right"
        rich_table.add_column(Text(heading), justify=side, width=width, overflow="fold")
    for row in table.rows:
        cells = ((row[i], width) for i, width in zip(places, widths, strict=True))
        rich_table.add_row(*(Text(_wrapped(_text(c), width), "bold" if c.best else "") for c, width in cells))
    return rich_table


def _blocks(table: Table, room: int) -> list[tuple[Places, Widths]]:
    """Return the columns of each block, those that name the rows in each, and their widths."""
    columns = [(column, [_text(row[i]) for row in table.rows]) for i, column in enumerate(table.columns)]
    widest = [max(_longest([*_lines(column), *texts]), 1) for column, texts in columns]
    keys = [i for i, (column, _) in enumerate(columns) if column.is_key]
    values = [i for i in range(len(columns)) if i not in keys]
    least: list[int] = []
    for is_whole, name_width in ROOMS:
        least = [_least(*column, is_whole, name_width) for column in columns]
        if all(_total([least[k] for k in (*keys, i)]) <= room for i in values):
            break
    blocks = [keys]
    for i in values:
        is_full = len(blocks[-1]) > len(keys) and _total([least[k] for k in (*blocks[-1], i)]) > room
        blocks = [*blocks, [*keys, i]] if is_full else [*blocks[:-1], [*blocks[-1], i]]
    ordered = [sorted(block) for block in blocks]
    return [(b, _fitted([widest[i] for i in b], [least[i] for i in b], room)) for b in ordered]


def _fitted(widths: list[int], least: Widths, room: int) -> list[int]:
    """Take from the widest columns until all have room; none gets narrower than its least width."""
    widths = [*widths]
    while _total(widths) > room and (wrappable := [i for i, w in enumerate(widths) if w > least[i]]):
        widths[max(wrappable, key=lambda i: widths[i])] -= 1
    return widths


def _least(column: Column, texts: Sequence[str], is_whole: bool, name_width: int) -> int:
    """Return the fewest letters that a column needs: no word of a number is broken.

    Args:
        is_whole: cells of columns that say so are not wrapped.
        name_width: letters that are left of names; 0: as many as the column says.
    """
    headings = _longest(word for line in _lines(column) for word in _words(line))
    if column.is_whole and is_whole:
        return max(_longest(texts), headings, 1)
    words = max(_longest(word for text in texts for word in _words(text)), headings, 1)
    if not column.is_text:
        return words
    return min(max(_longest(texts), headings, 1), name_width or max(column.min_width, min(words, NAME_WIDTH)))


def _total(widths: Widths) -> int:
    """Return the width of a table with columns of these widths: with the space between them, and at the edges."""
    return sum(widths) + 2 * len(widths) + 1


def _text(cell: Cell) -> str:
    return one_line(cell.text, cell.longest)


def _lines(column: Column) -> list[str]:
    return [one_line(line, LONGEST) for line in column.heading.split("\n")]


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _words(text: str) -> list[str]:
    return re.split(r" |(?<=[a-z]-)(?=[A-Z])", _joined(text))


def _wrapped(text: str, width: int) -> str:
    """Wrap a text between words; a word that is longer than the width goes on in the next line."""
    return "\n".join(textwrap.wrap(_joined(text), width)).replace(NO_BREAK, " ")


def _joined(text: str) -> str:
    """Return the text with a space that is not wrapped between a sign and its number: "< 0.0001"."""
    return text.replace("< ", f"<{NO_BREAK}").replace("> ", f">{NO_BREAK}")
