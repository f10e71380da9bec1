"""Tables as Markdown and as LaTeX (booktabs)."""

import re
from collections.abc import Iterable, Sequence

from lso_bench.report.table import LINE, LONGEST, WORDS, Part, Table, text
from lso_bench.text import one_line

SPECIAL = {  # of LaTeX
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
    """Sections with their tables; the best in bold."""
    blocks = []
    for part in parts:
        lines = "\n".join(f"- {_md(line, LINE)}" for line in part.lines)
        blocks += [f"## {_md(part.heading, LINE)}", lines, *map(_md_table, part.tables)]
    blocks.append("\n".join(f"- {_md(note, LINE)}" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def latex(parts: Iterable[Part], notes: Sequence[str]) -> str:
    r"""A `table` for each, to be put in a document that says `\usepackage{booktabs}`; the rest as comments."""
    blocks = []
    for part in parts:
        about = [part.heading, *part.lines]
        blocks.append("\n".join(f"% {one_line(line, LINE)}" for line in about))
        blocks += [_tex_table(t, part.heading) for t in part.tables]
    blocks.append("\n".join(f"% ! {one_line(note, LINE)}" for note in notes))
    return "\n\n".join(filter(None, blocks)) + "\n"


def _md(text: str, longest: int = LONGEST) -> str:
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line(text, longest))


def _md_table(table: Table) -> str:
    rule = [":--" if name in WORDS else "--:" for name in table.columns]
    rows = [
        [f"**{_md(c)}**" if (i, j) in table.best else _md(c) for j, c in enumerate(map(text, row))]
        for i, row in enumerate(table.rows)
    ]
    lines = [f"| {' | '.join(line)} |" for line in ([*map(_md, table.columns)], rule, *rows)]
    return "\n\n".join(filter(None, [f"**{_md(table.title, LINE)}**", "\n".join(lines), _md(table.caption, LINE)]))


def _tex(text: str, longest: int = LINE) -> str:
    return "".join(SPECIAL.get(c, c) for c in one_line(text, longest))


def _tex_table(table: Table, heading: str) -> str:
    rows = [
        " & ".join(f"\\textbf{{{_tex(c)}}}" if (i, j) in table.best else _tex(c) for j, c in enumerate(map(text, row)))
        for i, row in enumerate(table.rows)
    ]
    lines = [
        r"\begin{table}",
        rf"\caption{{{_tex(table.title)}. {_tex(heading)}. {_tex(table.caption)}}}",
        r"\centering",
        rf"\begin{{tabular}}{{{''.join('l' if name in WORDS else 'r' for name in table.columns)}}}",
        r"\toprule",
        " & ".join(map(_tex, table.columns)) + r" \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)
