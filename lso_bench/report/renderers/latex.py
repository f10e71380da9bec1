"""Tables as LaTeX (booktabs); the best values are bold."""

import re
from collections.abc import Collection, Iterable, Sequence

from lso_bench.files.sanitize import one_line
from lso_bench.report.table import LINE, Cell, Column, Part, Table

SPECIAL = {  # characters with a meaning in LaTeX
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "∞": r"$\infty$",
    "·": r"$\cdot$",
    "…": r"\dots{}",
    "†": r"$\dagger$",
    "\N{REPLACEMENT CHARACTER}": "?",
}


NUMBER = re.compile(r"(?<![\w.])(-?)(\d+(?:\.\d+)?)(?:e([+-]?\d+))?\b")
ADVICE = re.compile(r" \((?:`lso-bench [^`]*`|--\w+)\)")  # of the command line, which no paper needs


def document(parts: Iterable[Part], notes: Sequence[str]) -> str:
    r"""Return a `table` per table, for a document with `\usepackage{booktabs}`; other lines are comments."""
    blocks = []
    for part in parts:
        blocks.append("\n".join(f"% {one_line(line, LINE)}" for line in (part.heading, *part.lines)))
        blocks += [table(t, part.heading) for t in part.tables]
    return "\n\n".join([*blocks, *comments(notes)]) + "\n"


def comments(notes: Sequence[str]) -> list[str]:
    """Return the notes as a block of comments, if there are any."""
    return ["\n".join(f"% ! {one_line(note, LINE)}" for note in notes)] * bool(notes)


def table(
    table: Table, heading: str = "", label: str = "", caption: str = "", formulas: Collection[str] = frozenset()
) -> str:
    """Return a table; its caption is by default the title, the heading of its part and the table's caption.

    Args:
        formulas: texts of the user's whose formulas, between two $, are left as they are. So are those of `caption`.
    """

    def escaped(text: str) -> str:
        return _with_formulas(text) if text in formulas else _escape(text)

    texts = (
        [_with_formulas(caption)]
        if caption
        else [_escape(ADVICE.sub("", t)) for t in (table.title, heading, table.caption) if t]
    )

    def cell(cell: Cell, column: Column) -> str:
        text = escaped(cell.text) if column.is_text else _with_minus(escaped(cell.text))
        return rf"\textbf{{{text}}}" if cell.best else text

    rows = ([cell(c, column) for c, column in zip(row, table.columns, strict=True)] for row in table.rows)
    lines = [
        r"\begin{table}",
        rf"\caption{{{'. '.join(texts)}}}",
        *[rf"\label{{{label}}}"] * bool(label),
        r"\centering",
        rf"\begin{{tabular}}{{{''.join('l' if c.is_text else 'r' for c in table.columns)}}}",
        r"\toprule",
        _line(escaped(c.heading) for c in table.columns),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _with_minus(text: str) -> str:
    """Return numbers with a minus sign in place of a hyphen, and small ones as powers of ten."""

    def number(m: re.Match[str]) -> str:
        if m[3]:
            return rf"${m[1]}{m[2]}\times 10^{{{int(m[3])}}}$"
        return f"${m[1]}${m[2]}" if m[1] else m[0]

    return NUMBER.sub(number, text)


def _line(texts: Iterable[str]) -> str:
    return rf"{' & '.join(texts)} \\"


def _with_formulas(text: str) -> str:
    """Escape a text but for the formulas between two $."""
    parts = re.split(r"(\$[^$]+\$)", one_line(text, LINE))
    return "".join(part if i % 2 else _escape(part) for i, part in enumerate(parts))


def _escape(text: str) -> str:
    return "".join(SPECIAL.get(c, c) for c in one_line(text, LINE)).replace("--", "-{}-")  # no dash of two hyphens
