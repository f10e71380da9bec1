"""One table of a comparison as LaTeX, to be pasted into a paper."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.fields import field_text, settings
from lso_bench.analysis.table import start_order
from lso_bench.analysis.united import space_name
from lso_bench.errors import UsageError, unknown
from lso_bench.plugins.notation import name_of
from lso_bench.report import tables
from lso_bench.report.cells import EMPTY, NO_TEXT, NO_TEXT_SAYS, loss, word
from lso_bench.report.contests import contests
from lso_bench.report.renderers import latex
from lso_bench.report.sections import Section, check_displayed, sections
from lso_bench.report.table import Cell, Column, Table, columns

AXES = {"model": "model", "searcher": "searcher_label", "task": "task", "start": "start"}  # column of each axis
MEDIANS = {"final": ("loss", "Median final loss"), "starts": ("gap", "Median gap of the final losses of two starts")}
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
        shown = [_matrix(comparison, name, rows or "model", header or "searcher")]
    else:
        shown = [t for part in tables.parts(comparison, cost, [name]) for t in part.tables]
    if not shown:
        raise UsageError(f"These results have no table {name!r}.")
    if not re.fullmatch(LABEL, label):
        raise UsageError(f"The label of a table has letters, digits and :._-, not {label!r}.")
    check_displayed(labels, comparison, _texts(shown))
    references = [f"{label}{f'-{i}' * (i > 1)}" * bool(label) for i in range(1, len(shown) + 1)]
    renamed = [_renamed(t, labels) for t in shown]
    texts = [
        latex.table(t, label=r, caption=caption, formulas={*labels.values()})
        for t, r in zip(renamed, references, strict=True)
    ]
    return "\n\n".join(texts) + "\n"


def _texts(shown: Sequence[Table]) -> set[str]:
    """Return the headings and the words of tables, which may be displayed otherwise."""
    headings = {c.heading for t in shown for c in t.columns}
    return headings | {c.text for t in shown for row in t.rows for c in row if isinstance(c.value, str)}


def _matrix(comparison: Comparison, name: str, rows: str, header: str) -> Table:
    """Return the medians of a table; of models the best one and those not significantly worse are bold."""
    if name not in MEDIANS:
        raise UsageError(f"A matrix can be made of {' and '.join(MEDIANS)}, not of {name!r}.")
    for axis in (rows, header):
        if axis not in AXES:
            raise unknown("axis", axis, [*AXES])
    if rows == header:
        raise UsageError(f"Rows and columns of a matrix differ; wanted two of {', '.join(AXES)}.")
    measure, title = MEDIANS[name]
    medians: dict[tuple[str, str], list[tuple[dict[str, str], Cell]]] = {}
    for setup, cell in _medians(comparison, measure, all_starts="start" in (rows, header)):
        medians.setdefault((setup[rows], setup[header]), []).append((setup, cell))
    for place, several in medians.items():
        if len(several) > 1:
            first, second, *_ = (setup for setup, _ in several)
            differing = next((k for k in first if first[k] != second[k]), "setting")
            raise UsageError(
                f"Cell {' / '.join(place)} would have values of several {differing}s; select one"
                f"{_selection(differing, first.get(differing, ''), second.get(differing, ''))}."
            )
    names = [[*dict.fromkeys(place[i] for place in medians)] for i in (0, 1)]
    body = [[word(a), *(medians[a, b][0][1] if (a, b) in medians else EMPTY for b in names[1])] for a in names[0]]
    is_marked = any(NO_TEXT in cell.text for row in body for cell in row)
    return Table(title, columns(Column(rows, is_text=True), *names[1]), body, NO_TEXT_SAYS * is_marked)


def _selection(field: str, first: str, second: str) -> str:
    """Return the option that selects the second of two values of a field, as a part of a sentence; empty if none does.

    Of two tasks of one name it selects a setting.
    """
    if field == "task" and name_of(first) == name_of(second):
        before, after = (settings(field, text) for text in (first, second))
        field, second = next(((k, field_text(v)) for k, v in after.items() if before.get(k) != v), (field, second))
    return (
        "" if field in ("start", "architecture", "setting") else f", as by --where {shlex.quote(f'{field}={second}')}"
    )


def _medians(comparison: Comparison, measure: str, all_starts: bool) -> Iterator[tuple[dict[str, str], Cell]]:
    """Yield the setup of each median at the end of searches, and its cell; by default of one kind of start."""
    for part in sections(comparison):
        best = {*_best(part)} if measure == "loss" else set()
        rows = part.rows(measure)
        at_end = cast(pd.DataFrame, rows[rows.threshold.isna()]).to_dict("records")
        first = min((r["start"] for r in at_end), key=lambda s: [*map(start_order, s.split(" - "))], default="")
        for r in at_end:
            if all_starts or r["start"] == first:
                setup = {axis: str(r[column]) for axis, column in AXES.items()}
                is_best = (r["model"], r["searcher_label"], r["start"]) in best
                space = {"architecture": space_name(r["arch"], r["latent"]), "device": str(r["device"])} | {
                    "decoding": str(r["decoding"])
                }
                cell = loss(r["median"], measure == "loss" and part.lacks_text(r))
                yield setup | space, cell._replace(best=is_best)


def _best(part: Section) -> Iterator[tuple[str, str, str]]:
    """Yield model, searcher and start of the models that are not significantly worse than the best of a contest."""
    for contest in contests(part, "model", "loss"):
        yield from ((name, contest.context, contest.start) for name in contest.top if contest.worse)


def _renamed(table: Table, labels: Mapping[str, str]) -> Table:
    """Return the table with the displayed names."""

    def renamed(cells: Sequence[Cell]) -> list[Cell]:
        return [c._replace(text=labels.get(c.text, c.text)) for c in cells]

    header = [c._replace(heading=labels.get(c.heading, c.heading)) for c in table.columns]
    return Table(table.title, header, [renamed(row) for row in table.rows], table.caption, table.name)
