"""Tables before they are rendered: each cell has a text to read and a value to sort by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lso_bench.files.sanitize import one_line

LONGEST = 80  # characters of a cell; names may be of any length
LINE = 1000  # characters of a line of text; captions are shorter
NAME_WIDTH = 14  # characters that narrow terminals leave of a name


Number = int | float


class Cell(NamedTuple):
    """An unescaped text and the number or text that its column is sorted by, None or NaN where there is none."""

    text: str
    value: Number | str | None = None
    best: bool = False
    bounds: tuple[Number, Number] | None = None  # ends of the interval in the text
    model: str = ""  # model whose colour the cell has
    longest: int = LONGEST  # characters that are shown
    picture: str = ""  # address of a picture that stands above the text on a page


class Column(NamedTuple):
    """A heading and the kind of the cells below it."""

    heading: str  # its line ends are kept where cells may have several lines
    is_text: bool = False  # left-aligned
    is_whole: bool = False  # without line breaks
    min_width: int = 0  # characters, of longer texts
    is_key: bool = False  # names the rows, wherever the other columns stand


@dataclass(frozen=True)
class Table:
    """Rows of cells below columns."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    name: str = ""  # heading where the title is too long

    @property
    def heading(self) -> str:
        return self.name or self.title


@dataclass(frozen=True)
class Part:
    """Tables below a heading and some lines."""

    heading: str
    lines: list[str]
    tables: list[Table]


MODEL = Column("model", is_text=True, min_width=NAME_WIDTH, is_key=True)
SEARCHER = Column("searcher", is_text=True, min_width=NAME_WIDTH, is_key=True)
START = Column("start", is_text=True, is_key=True)


def columns(*headings: str | Column) -> tuple[Column, ...]:
    """Return columns; a heading alone is that of a column of numbers."""
    return tuple(Column(h) if isinstance(h, str) else h for h in headings)


def short(text: object) -> str:
    """Return a name on one line, as long as a cell at most."""
    return one_line(str(text), LONGEST)
