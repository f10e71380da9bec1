"""Views of a comparison: the summary, a table, all tables, or a form for other programs."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lso_bench.api.output import out, say
from lso_bench.commands.options import names
from lso_bench.errors import UsageError, unknown

if TYPE_CHECKING:
    from lso_bench.analysis.comparison import Comparison
    from lso_bench.api.comparison import ResultComparison

LONGEST = 65  # characters of a command that fits the last line of a summary
Table = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        help="Only these tables: final, convergence, targets, starts, variance, cost, models, searchers, tasks, "
        "collapse, images, texts, runs.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="All answers in full, all tables and notes, instead of the summary.")]
Wide = Annotated[bool, typer.Option("--wide", help="Tables as wide as they are, whatever the terminal's width.")]


@dataclass(frozen=True)
class View:
    """Part of a comparison that is printed, and its form."""

    form: str = "table"  # table, json, csv, markdown or latex
    tables: Sequence[str] = ()  # names; empty: the summary
    show_all: bool = False
    wide: bool = False
    cost: str = "evaluations"
    folders: Sequence[Path] = ()  # of the results, for the commands in the summary
    selection: str = ""  # options that chose the runs and split the rows, likewise

    @property
    def is_summary(self) -> bool:
        """Test whether only the answers are printed, which need no files of runs."""
        return self.form == "table" and not self.tables and not self.show_all

    def __post_init__(self):
        if (self.tables or self.show_all) and self.form in ("json", "csv"):
            raise UsageError(f"--table and --all are of printed tables; --{self.form} has all measures anyway.")


def tables_named(texts: Sequence[str] | None) -> list[str]:
    """Return the names of the tables in lists with commas.

    Raises:
        UsageError: there is no such table.
    """
    if not texts:
        return []
    from lso_bench.report.tables import TABLES

    listed = names("table", texts)
    for name in listed:
        if name not in TABLES:
            raise unknown("table", name, [*TABLES])
    return listed


def _about_collapse(comparison: "Comparison", folders: Sequence[Path]) -> list[str]:
    """Return lines about what a table that is not there wants; none if it is there."""
    from lso_bench.analysis import unmeasured

    return unmeasured.reasons(comparison.collapse, folders) if comparison.collapse.correlations.empty else []


def _print_tables(comparison: "Comparison", view: View) -> None:
    """Print the tables, below the answers in full if all is shown."""
    from lso_bench.report import full_answers, tables

    if view.show_all and not view.tables:
        print(f"\n{full_answers.text(comparison)}")
    out(view.wide).print(tables.terminal(comparison, view.cost, view.tables))


def show(compared: "ResultComparison", view: View, complete: bool = False, quiet: bool = False) -> None:
    """Print a comparison.

    Args:
        quiet: without progress.
        complete: compute all measures even for a summary, so that damaged files of runs are noticed.
    """
    from lso_bench.progress import announced

    if view.is_summary:
        folder = " ".join(shlex.quote(str(path)) for path in view.folders)
        compare = " ".join(filter(None, ("lso-bench compare", folder, view.selection)))
        first = f"{compare} --all" if len(compare) < LONGEST else "--all"
        commands = [first, "--table NAME", f"lso-bench report {folder}"]
        with announced("Comparing the runs", quiet):
            text = compared.summary(commands, complete)
        print(text)
        return
    from lso_bench.report import export, tables

    with announced("Comparing the runs", quiet):
        comparison = compared.comparison
    if view.tables and not [*tables.parts(comparison, view.cost, view.tables)]:
        say(f"Nothing to show: these results have no rows for --table {','.join(view.tables)}.")
    if "collapse" in view.tables:
        for line in _about_collapse(comparison, compared.folders):
            say(line)
    if view.form == "table":
        _print_tables(comparison, view)
    elif view.form in ("json", "csv"):
        print(export.as_json(comparison) if view.form == "json" else export.as_csv(comparison))
        for note in comparison.notes if view.form == "csv" else ():
            say(f"! {note}")
    else:
        render = tables.markdown if view.form == "markdown" else tables.latex
        print(render(comparison, view.cost, view.tables), end="")
