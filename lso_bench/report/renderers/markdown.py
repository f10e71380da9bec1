"""Tables as Markdown; the best values are bold."""

import re
from collections.abc import Iterable, Sequence

from lso_bench.files.sanitize import one_line
from lso_bench.report.table import LINE, LONGEST, Part, Table


def document(parts: Iterable[Part], notes: Sequence[str]) -> str:
    """Return sections with their tables, then the notes."""
    blocks = []
    for part in parts:
        blocks += [f"## {_escape(part.heading, LINE)}", _items(part.lines), *map(table, part.tables)]
    return "\n\n".join(filter(None, [*blocks, _items(notes)])) + "\n"


def table(table: Table) -> str:
    """Return title, rows and caption of a table."""
    rows = ([f"{'**' * c.best}{_escape(c.text, c.longest)}{'**' * c.best}" for c in row] for row in table.rows)
    rule = [":--" if c.is_text else "--:" for c in table.columns]
    lines = _lines([_escape(c.heading) for c in table.columns], rule, *rows)
    return "\n\n".join(filter(None, [f"**{_escape(table.title, LINE)}**", lines, _escape(table.caption, LINE)]))


def plain_rows(table: Table) -> str:
    """Return heading and rows of a table to be read as text: names as they are, columns unaligned."""

    def texts(cells: Iterable[tuple[str, int]]) -> list[str]:
        return [one_line(text, longest).replace("|", "\\|") for text, longest in cells]

    rows = (texts((c.text, c.longest) for c in row) for row in table.rows)
    return _lines(texts((c.heading, LONGEST) for c in table.columns), ["---"] * len(table.columns), *rows)


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(line, LINE)}" for line in lines)


def _lines(*rows: Sequence[str]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _escape(text: str, longest: int = LONGEST) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line(text, longest))
