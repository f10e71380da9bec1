"""Matrix of medians for a paper, with a caption that says what they are of."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.fields import field_text, settings
from lso_bench.analysis.table import start_order
from lso_bench.analysis.united import space_name
from lso_bench.errors import UsageError, unknown
from lso_bench.plotting.style import count_range
from lso_bench.plugins.notation import name_of
from lso_bench.report.cells import MISSING, NO_TEXT, NO_TEXT_SAYS, loss, word
from lso_bench.report.contests import contests, has_starred_higher, without_test
from lso_bench.report.sections import Section, effort, sections, task_names
from lso_bench.report.table import Cell, Column, Table, columns

AXES = {"model": "model", "searcher": "searcher_label", "task": "task", "start": "start"}  # column of each axis
MEDIANS = {  # measure, title, and what a median is over
    "final": ("loss", "Median final loss", "searches"),
    "starts": ("gap", "Median gap of the final losses of two starts", "pairs"),
}
NAMED = ("task", "architecture", "effort", "model", "searcher", "start")  # settings that a caption names, in order
FAILED, UNTESTED = "failed", "?"
BEST = {"model": "models of a searcher", "searcher": "searchers in a model"}  # what is bold, by the factor
BOLD = (
    "Bold: the best {}, by Wilcoxon's test with Holm's correction on the same instances; those that are not "
    "significantly worse are bold too"
)
PLAIN = "Where none is bold, no difference is significant, or none was tested"
FEWER = "A lower plain value may be of fewer searches or trainings: only the seeds that all have are compared"
UNDEFINED = "n/a"  # in place of a median of values that have none
LEGENDS = {  # what stands in a cell, and what it means
    NO_TEXT: NO_TEXT_SAYS,
    UNTESTED: "?: not compared with the other {}: too few common seeds",
    MISSING: "-: no result",
    UNDEFINED: "n/a: no search, or pair, has a finite value",
    FAILED: "failed: all its runs",
}


@dataclass(frozen=True)
class Median:
    """A median with its setup: the values of AXES, and what else may differ between cells."""

    setup: dict[str, str]
    cell: Cell
    n: int = 0  # searches, or pairs of them


def matrix(comparison: Comparison, name: str, rows: str, header: str) -> Table:
    """Return the medians of a table; the best model of a searcher and those not significantly worse are bold.

    Where models are no axis, or there is one, it is the best searchers.

    Raises:
        UsageError: no such axis, no matrix of this table, or several values in a cell.
    """
    _check(name, rows, header)
    measure, title, unit = MEDIANS[name]
    medians: dict[tuple[str, str], list[Median]] = {}
    factor = _factor(comparison, (rows, header))
    for median in _medians(comparison, measure, "start" in (rows, header), factor):
        medians.setdefault((median.setup[rows], median.setup[header]), []).append(median)
    for place, several in medians.items():
        if len(several) > 1:
            raise _several(place, several[0].setup, several[1].setup)
    for setup in _failed(comparison) if "start" not in (rows, header) else ():
        medians.setdefault((setup[rows], setup[header]), [Median(setup, word(FAILED))])
    names = [[*dict.fromkeys(place[i] for place in medians)] for i in (0, 1)]
    absent = [Median({}, word(MISSING))]
    shown = short_tasks(comparison) if "task" in (rows, header) else {}
    headings, words = ([shown.get(name, name) for name in names[i]] for i in (1, 0))
    body = [[word(words[i]), *(medians.get((a, b), absent)[0].cell for b in names[1])] for i, a in enumerate(names[0])]
    known = [median for several in medians.values() for median in several if median.n]
    caption = _caption(comparison, known, unit, (rows, header), [cell for line in body for cell in line[1:]], factor)
    return Table(title, columns(Column(rows, is_text=True), *headings), body, caption)


def short_tasks(comparison: Comparison) -> dict[str, str]:
    """Return the short names of the tasks, by their texts: with the settings that tell tasks of one name apart."""
    parts = {str(part.context["task"]): part for part in sections(comparison)}
    return dict(zip(parts, task_names([*parts.values()]), strict=True))


def _factor(comparison: Comparison, axes: Sequence[str]) -> str:
    """Return what the bold cells of a matrix compare: models, or searchers where models cannot be compared in it."""
    has_models = "model" in axes and comparison.measures.model.nunique() > 1
    return "searcher" if "searcher" in axes and not has_models else "model"


def _check(name: str, rows: str, header: str) -> None:
    if name not in MEDIANS:
        raise UsageError(f"A matrix can be made of {' and '.join(MEDIANS)}, not of {name!r}.")
    for axis in (rows, header):
        if axis not in AXES:
            raise unknown("axis", axis, [*AXES])
    if rows == header:
        raise UsageError(f"Rows and columns of a matrix differ; wanted two of {', '.join(AXES)}.")


def _caption(
    comparison: Comparison,
    medians: Sequence[Median],
    unit: str,
    axes: Sequence[str],
    cells: Sequence[Cell],
    factor: str,
) -> str:
    """Return the settings that all cells share, the number of searches or pairs, and what bold and signs mean."""
    shared = [_shared(medians, key) for key in NAMED if key not in axes]
    n = pd.Series([median.n for median in medians], dtype=float)
    texts = [", ".join(filter(None, shared)), *[f"n = {count_range(n, unit)} a cell"] * (len(n) > 0)]
    if any(cell.best for cell in cells):
        groups = _compared(medians, factor)
        texts += [BOLD.format(BEST[factor])]
        texts += [PLAIN] * any(not any(median.cell.best for median in group) for group in groups)
        texts += [FEWER] * any(len({median.n for median in group}) > 1 for group in groups)
        if any(has_starred_higher(part, factor) for part in sections(comparison)):
            texts.append("The test is of pairs, not of medians: a bold median is higher than a plain one here")
    legends = (says for sign, says in LEGENDS.items() if any(_has(cell, sign) for cell in cells))
    texts += [says.format(BEST[factor]) for says in legends]
    return ". ".join(filter(None, texts))


def _compared(medians: Sequence[Median], factor: str) -> list[list[Median]]:
    """Return the medians that are compared with each other: all but `factor` is the same."""
    groups: dict[tuple[str, ...], list[Median]] = {}
    for median in medians:
        groups.setdefault(tuple(v for k, v in median.setup.items() if k != factor), []).append(median)
    return [*groups.values()]


def _shared(medians: Sequence[Median], key: str) -> str:
    """Return the one value of a setting as a text; empty if there are several."""
    values = {median.setup[key] for median in medians}
    (value, *rest) = values or {""}
    text = f"from {value} starts" if key == "start" and " - " not in value else value
    return "" if rest else text


def _has(cell: Cell, sign: str) -> bool:
    return cell.text == sign or (sign in (NO_TEXT, UNTESTED) and sign in cell.text)


def _several(place: tuple[str, str], first: dict[str, str], second: dict[str, str]) -> UsageError:
    """Return the error of a cell with several values."""
    differing = next((k for k in first if first[k] != second[k]), "setting")
    selection = _selection(differing, first.get(differing, ""), second.get(differing, ""))
    return UsageError(f"Cell {' / '.join(place)} would have values of several {differing}s; select one{selection}.")


def _selection(field: str, first: str, second: str) -> str:
    """Return the option, and the call, that select the second of two values of a field; empty if none does.

    Of two tasks of one name they select a setting.
    """
    if field == "task" and name_of(first) == name_of(second):
        before, after = (settings(field, text) for text in (first, second))
        field, second = next(((k, field_text(v)) for k, v in after.items() if before.get(k) != v), (field, second))
    if field in ("start", "architecture", "effort", "setting"):
        return ""
    return f", as by --where {shlex.quote(f'{field}={second}')} (in Python: .where({field}={second!r}))"


def _medians(comparison: Comparison, measure: str, all_starts: bool, factor: str) -> Iterator[Median]:
    """Yield each median at the end of searches; by default of one kind of start."""
    for part in sections(comparison):
        best, alone = ({*_best(part, factor)}, without_test(part, factor)) if measure == "loss" else (set(), {})
        rows = part.rows(measure)
        at_end = cast(pd.DataFrame, rows[rows.threshold.isna()]).to_dict("records")
        first = min((r["start"] for r in at_end), key=lambda s: [*map(start_order, s.split(" - "))], default="")
        for r in at_end:
            if all_starts or r["start"] == first:
                name, context = (r[column] for column in _columns(factor))
                is_best = (name, context, r["start"]) in best
                is_undefined = pd.isna(r["median"])
                cell = word(UNDEFINED) if is_undefined else loss(r["median"], measure == "loss" and part.lacks_text(r))
                mark = UNTESTED if name in alone.get(context, ()) and r["start"] == first else ""
                yield Median(_setup(r), cell._replace(text=f"{cell.text}{mark}", best=is_best), int(r["n"]))


def _setup(row: dict[Any, Any]) -> dict[str, str]:
    """Return the setup of a row as texts."""
    space = {"architecture": space_name(row["arch"], row["latent"]), "device": str(row["device"])}
    axes = {axis: str(row.get(column, "")) for axis, column in AXES.items()}
    return axes | space | {"decoding": str(row["decoding"]), "effort": effort(row)}


def _failed(comparison: Comparison) -> Iterator[dict[str, str]]:
    """Yield the setup of each group of runs that all failed."""
    for part in sections(comparison):
        yield from (_setup(r) for r in part.runs.to_dict("records") if r["failed"] == r["runs"] and not r["searches"])


def _columns(factor: str) -> tuple[str, str]:
    """Return the columns of what is compared and of what it is compared in."""
    return ("model", "searcher_label") if factor == "model" else ("searcher_label", "model")


def _best(part: Section, factor: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, context and start of the contestants that are not significantly worse than the best."""
    for contest in contests(part, factor, "loss"):
        yield from ((name, contest.context, contest.start) for name in contest.top if contest.worse)
