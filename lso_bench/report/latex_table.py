"""One table of a comparison as LaTeX, to be pasted into a paper."""

import re
from collections.abc import Mapping, Sequence

from lso_bench.analysis.comparison import Comparison
from lso_bench.errors import UsageError
from lso_bench.report import tables
from lso_bench.report.latex_matrix import matrix, short_tasks
from lso_bench.report.renderers import latex
from lso_bench.report.sections import by_known_name
from lso_bench.report.table import Cell, Table

LABEL = r"[\w:.-]*"
Axes = tuple[str | None, str | None]


def one(
    comparison: Comparison,
    name: str,
    axes: Axes,
    labels: Mapping[str, str],
    label: str = "",
    caption: str = "",
    cost: str = "evaluations",
) -> str:
    """Return the table of that name, of each section with it; with `axes` a matrix of medians.

    Args:
        axes: what the rows and the columns of a matrix are, of AXES.
        labels: displayed names, by name; formulas between two $ are kept.
        label: for a reference; of several tables the second one ends in -2.
        caption: instead of the title.
        cost: unit in the table of targets.

    Raises:
        UsageError: no such axis, no matrix of this table, no such table here, or a label of what is not there.
    """
    rows, header = axes
    if rows or header:
        headed = [("", matrix(comparison, name, rows or "model", header or "searcher"))]
        short = short_tasks(comparison)
        labels = {short.get(k, k): v for k, v in labels.items()}
    else:
        headed = [(part.heading, t) for part in tables.parts(comparison, cost, [name]) for t in part.tables]
    shown = [t for _, t in headed]
    if not shown:
        raise UsageError(f"These results have no table {name!r}.")
    if not re.fullmatch(LABEL, label):
        raise UsageError(f"The label of a table has letters, digits and :._-, not {label!r}.")
    labels = by_known_name(labels, comparison, _texts(shown))
    references = [f"{label}{f'-{i}' * (i > 1)}" * bool(label) for i in range(1, len(shown) + 1)]
    texts = [
        latex.table(_renamed(t, labels), heading, reference, caption, {*labels.values()})
        for (heading, t), reference in zip(headed, references, strict=True)
    ]
    return "\n\n".join([*latex.comments(comparison.notes), *texts]) + "\n"


def _texts(shown: Sequence[Table]) -> set[str]:
    """Return the headings and the words of tables, which may be displayed otherwise."""
    headings = {c.heading for t in shown for c in t.columns}
    return headings | {c.text for t in shown for row in t.rows for c in row if isinstance(c.value, str)}


def _renamed(table: Table, labels: Mapping[str, str]) -> Table:
    """Return the table with the displayed names."""

    def renamed(cells: Sequence[Cell]) -> list[Cell]:
        return [c._replace(text=labels.get(c.text, c.text)) for c in cells]

    header = [c._replace(heading=labels.get(c.heading, c.heading)) for c in table.columns]
    return Table(table.title, header, [renamed(row) for row in table.rows], table.caption, table.name)
