"""Tables in the terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from lso_bench.files.sanitize import one_line
from lso_bench.report.table import LINE, LONGEST, Part, Table


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


def table(table: Table) -> RichTable:
    """Render a table; texts are cut, and never read as markup."""
    caption = Text(table.caption, "table.caption") if table.caption else None
    rich_table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left")
    rich_table.title, rich_table.caption = Text(table.title, "italic"), caption
    for i, column in enumerate(table.columns):
        heading = Text("\n".join(one_line(line, LONGEST) for line in column.heading.split("\n")))
        longest = max((len(one_line(row[i].text, row[i].longest)) for row in table.rows), default=0)
        rich_table.add_column(
            heading,
            justify="left" if column.is_text else "right",
            min_width=min(column.min_width, longest),
            no_wrap=column.is_whole,
        )
    for row in table.rows:
        rich_table.add_row(*(Text(one_line(c.text, c.longest), "bold" if c.best else "") for c in row))
    return rich_table
