"""The command `compare`."""

import shlex
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from lso_bench.api.output import say
from lso_bench.commands.exit_status import CONDITION_HOLDS, INCOMPLETE
from lso_bench.commands.inputs import print_damaged, print_skipped, read
from lso_bench.commands.options import Json, StrictOfRuns, Where, check_folder, display_names, names, outside
from lso_bench.commands.view import All, Table, View, Wide, show, tables_named
from lso_bench.errors import UsageError, unknown


def compare(
    folders: Annotated[list[Path], typer.Argument(parser=outside, help="Results folders, or archives of them.")],
    where: Where = None,
    by: Annotated[list[str] | None, typer.Option(help="Split rows by these fields too: beta,seed.init.")] = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Markdown on stdout.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX (booktabs) on stdout.")] = False,
    targets: Annotated[
        str, typer.Option(help="Down to the lowest loss of all models (task), or of each (model).")
    ] = "task",
    cost: Annotated[str, typer.Option(help="In the table of targets: steps, evaluations or seconds.")] = "evaluations",
    no_traces: Annotated[
        bool, typer.Option("--no-traces", help="Fast: without targets and distances, which need each run's files.")
    ] = False,
    label: Annotated[str, typer.Option(help="Of a LaTeX table, for \\ref.")] = "",
    rows: Annotated[
        str | None, typer.Option(help="Of a LaTeX matrix of medians: model, searcher, task, start.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Likewise, its columns.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Displayed name in LaTeX: nevae_se=NE-VAE; may stand several times.")
    ] = None,
    table: Table = None,
    show_all: All = False,
    wide: Wide = False,
    strict: StrictOfRuns = False,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Exit status {CONDITION_HOLDS} if this holds: 'nevae_se.iterations > vae.iterations'; several times."
        ),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(parser=outside, metavar="PATH", help="Folder to draw the comparison into.")
    ] = None,
) -> None:
    """Compare what is in results folders: final losses, cost of convergence, dependence on the start."""
    form = _form(json=json, csv=csv, markdown=markdown, latex=latex)
    view = View(form, tables_named(table), show_all, wide, cost, folders, _selection(where or [], by or []))
    matrix = LatexTable(rows, columns, display_names("name", name or []), label)
    if matrix != LatexTable() and not (latex and len(view.tables) == 1):
        raise UsageError("--label, --rows, --columns and --name want --latex and one --table.")
    _check("targets", targets, ["task", "model"])
    _check("cost", cost, ["steps", "evaluations", "seconds"])
    if figures and no_traces:
        raise UsageError("--figures draws from the traces; leave --no-traces out.")
    if figures:
        check_folder("figures", figures)
    from lso_bench.progress import announced

    runs = read(folders)
    results = runs.where(*where) if where else runs
    compared = results.compare(names("by", by or []), "model" if targets == "model" else "task", not no_traces)
    needs_files = strict or figures or fail_if or not view.is_summary
    with announced(f"Comparing {len(results.records)} runs"):
        notes = compared.comparison.notes if needs_files else compared.notes
    verdicts = _verdicts(fail_if or [], compared)
    print_skipped(results.unusable_spaces)
    print_damaged(runs.stores)
    _show(compared, view, matrix)
    if figures:
        _draw(compared, figures)
    for condition in verdicts:
        say(str(condition))
    _exit(any(v.holds for v in verdicts), strict and bool(notes or runs.skipped))


def _selection(where: list[str], by: list[str]) -> str:
    """Return the options that choose the runs and split the rows, for the commands in the summary."""
    options = [("--where", text) for text in where] + [("--by", text) for text in by]
    return shlex.join([word for option in options for word in option])


def _exit(condition_holds: bool, is_incomplete: bool) -> None:
    """Exit with the status of --fail-if or of --strict."""
    if condition_holds:
        raise typer.Exit(CONDITION_HOLDS)
    if is_incomplete:
        raise typer.Exit(INCOMPLETE)


class LatexTable(NamedTuple):
    """Rows, columns, displayed names and label of a single LaTeX table."""

    rows: str | None = None
    columns: str | None = None
    names: dict[str, str] = {}
    label: str = ""


def _show(compared, view: View, matrix: LatexTable) -> None:
    if view.form == "latex" and len(view.tables) == 1:
        print(compared.latex(view.tables[0], *matrix, cost=view.cost), end="")
    else:
        show(compared, view)


def _verdicts(conditions: list[str], compared) -> list:
    """Return the verdict on each condition of --fail-if."""
    if not conditions:
        return []
    from lso_bench.analysis.conditions import verdict

    return [verdict(text, compared.comparison) for text in conditions]


def _draw(compared, folder: Path) -> None:
    from lso_bench.analysis.curves import with_curves
    from lso_bench.report.figure_files import figures

    for path in figures(with_curves(compared.comparison, compared.records, compared.files), folder):
        say(f"picture: {path}")


def _check(option: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise unknown(option, value, known)


def _form(**flags: bool) -> str:
    forms = [name for name, is_set in flags.items() if is_set]
    if len(forms) > 1:
        raise UsageError(f"One of --{', --'.join(forms)} at a time.")
    return forms[0] if forms else "table"
