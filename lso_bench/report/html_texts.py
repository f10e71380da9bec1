"""Drawings of found texts for the HTML page, made by the built-in task that scored them."""

import base64
from dataclasses import replace

from lso_bench.errors import LsoBenchError
from lso_bench.files.svg import harmless
from lso_bench.plugins.containment import contained
from lso_bench.report.table import Cell, Table
from lso_bench.report.text_tables import NEAREST, NONE, TEXT
from lso_bench.task import TASKS
from lso_bench.task.text_task import TextTask
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS

LARGEST = 1_500_000  # characters of all drawings of a table


def drawn(table: Table, task_text: str) -> Table:
    """Return a table of texts with a drawing above each text, where the task has some.

    A file that a result names is never executed, so that only tasks of this program draw, and not on data of a file.
    """
    if not table.rows or not (TASKS.runs_no_code(task_text) and (task := _task(task_text))):
        return table
    places = [i for i, column in enumerate(table.columns) if column in (TEXT, NEAREST)]
    sources = {c.text: "" for row in table.rows for i, c in enumerate(row) if i in places and c.text not in ("", NONE)}
    total = 0
    for text in sources:
        source = _picture(task, text)
        total += len(source)
        sources[text] = source if total <= LARGEST else ""
    rows = [[_with_picture(c, sources) if i in places else c for i, c in enumerate(row)] for row in table.rows]
    return replace(table, rows=rows)


def _with_picture(cell: Cell, sources: dict[str, str]) -> Cell:
    return cell._replace(picture=sources.get(cell.text, ""))


def _task(text: str) -> TextTask | None:
    """Return a task that scores texts; None for others, where a setting does not exist here, or data execute a file."""
    try:
        task = TASKS.build(text)
    except LsoBenchError:
        return None
    return task if isinstance(task, TextTask) and DATASETS.runs_no_code(data_of(task)) else None


def _picture(task: TextTask, text: str) -> str:
    """Return the address of a drawing, which holds all of it; empty if the task has none, or fails."""
    try:
        with contained():
            svg = task.picture(text)
    except Exception:  # of a package that is missing, or of a text that it cannot read: the page goes without
        return ""
    safe = harmless(svg) if isinstance(svg, str) else ""
    return f"data:image/svg+xml;base64,{base64.b64encode(safe.encode()).decode()}" if safe else ""
