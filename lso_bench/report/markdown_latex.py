"""Tables as Markdown and as LaTeX (booktabs)."""

import re
from collections.abc import Iterable, Sequence

from lso_bench.files.sanitize import one_line
from lso_bench.report.table import LINE, LONGEST, WORDS, Part, Table, text

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
    "\N{REPLACEMENT CHARACTER}": "?",
}


def markdown(parts: Iterable[Part], notes: Sequence[str]) -> str:
    """Return sections with their tables as Markdown; the best values are bold."""
    blocks = []
    for part in parts:
        lines = "\n".join(f"- {_escape_markdown(line, LINE)}" for line in part.lines)
        blocks += [f"## {_escape_markdown(part.heading, LINE)}", lines, *map(_markdown_table, part.tables)]
    blocks.append("\n".join(f"- {_escape_markdown(note, LINE)}" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def latex(parts: Iterable[Part], notes: Sequence[str]) -> str:
    r"""Return a `table` per table, for a document with `\usepackage{booktabs}`; other lines are comments."""
    blocks = []
    for part in parts:
        comments = [part.heading, *part.lines]
        blocks.append("\n".join(f"% {one_line(line, LINE)}" for line in comments))
        blocks += [_latex_table(t, part.heading) for t in part.tables]
    blocks.append("\n".join(f"% ! {one_line(note, LINE)}" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _escape_markdown(text: str, longest: int = LONGEST) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line(text, longest))


def _markdown_table(table: Table) -> str:
    rule = [":--" if name in WORDS else "--:" for name in table.columns]
    rows = [
        [
            f"**{_escape_markdown(c)}**" if (i, j) in table.best else _escape_markdown(c)
            for j, c in enumerate(map(text, row))
        ]
        for i, row in enumerate(table.rows)
    ]
    lines = [f"| {' | '.join(line)} |" for line in ([*map(_escape_markdown, table.columns)], rule, *rows)]
    return "\n\n".join(
        filter(
            None,
            [f"**{_escape_markdown(table.title, LINE)}**", "\n".join(lines), _escape_markdown(table.caption, LINE)],
        )
    )


def _escape_latex(text: str, longest: int = LINE) -> str:
    return "".join(SPECIAL.get(c, c) for c in one_line(text, longest))


def _latex_table(table: Table, heading: str) -> str:
    rows = [
        " & ".join(
            f"\\textbf{{{_escape_latex(c)}}}" if (i, j) in table.best else _escape_latex(c)
            for j, c in enumerate(map(text, row))
        )
        for i, row in enumerate(table.rows)
    ]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_escape_latex(table.title)}. {_escape_latex(heading)}. {_escape_latex(table.caption)}}}",
        r"\centering",
        rf"\begin{{tabular}}{{{''.join('l' if name in WORDS else 'r' for name in table.columns)}}}",
        r"\toprule",
        " & ".join(map(_escape_latex, table.columns)) + r" \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)
