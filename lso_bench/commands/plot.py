"""The command `plot`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.commands.inputs import end, load_report
from lso_bench.commands.options import StrictOfRuns, Where, check_folder, display_names, names, outside
from lso_bench.errors import unknown


def plot(
    folders: Annotated[list[Path], typer.Argument(parser=outside, help="Results folders, or archives of them.")],
    where: Where = None,
    to: Annotated[Path, typer.Option(parser=outside, metavar="PATH", help="Folder to draw into.")] = Path("figures"),
    format: Annotated[list[str], typer.Option(help="png, svg, pdf; several with commas.")] = ["pdf"],  # noqa: B006
    width: Annotated[str, typer.Option(help="column (3.3 inches), or page (6.9 inches).")] = "column",
    figure: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these: forest, curves, ecdf, distance, spread, basin, variance, ranks, collapse, activity."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Displayed name: nevae_se=NE-VAE; may stand several times.")
    ] = None,
    strict: StrictOfRuns = False,
) -> None:
    """Draw the figures of a report for a paper, without titles; the caption of each is written beside it."""
    formats, widths, known = names("format", format), ("column", "page"), ("png", "svg", "pdf")
    for f in formats:
        if f not in known:
            raise unknown("format", f, [*known])
    if width not in widths:
        raise unknown("width", width, [*widths])
    check_folder("to", to)
    from lso_bench.plotting.style import displayed
    from lso_bench.progress import announced
    from lso_bench.report.figure_files import KINDS, plots
    from lso_bench.report.sections import by_known_name

    kinds = names("figure", figure) if figure else KINDS
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("figure", kind, [*KINDS])
    shown_names = display_names("label", label or [])

    with announced("Comparing the runs"):
        results = load_report(folders, where or [])
    with displayed(by_known_name(shown_names, results.comparison)):
        for path in plots(results.comparison, results.spaces, to, formats, width, kinds):
            say(f"written: {path}")
    for note in results.comparison.notes:
        say(f"! {note}")
    end([*results.skipped, *results.comparison.notes], strict)
