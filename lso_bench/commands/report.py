"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.commands.inputs import end, load_report
from lso_bench.commands.options import StrictOfRuns, Where, outside
from lso_bench.commands.target import Force, check_target


def report(
    folders: Annotated[list[Path], typer.Argument(parser=outside, help="Results folders, or archives of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", parser=outside, metavar="PATH", help="The page.")] = Path(
        "report.html"
    ),
    where: Where = None,
    force: Force = False,
    strict: StrictOfRuns = False,
) -> None:
    """Write one HTML page about what is in results folders; it needs no network and no other file."""
    from lso_bench.files.atomic_write import write_out
    from lso_bench.progress import announced
    from lso_bench.report.html_report import html, is_report

    check_target(output, is_report, "report", force)
    with announced("Comparing the runs"):
        results = load_report(folders, where or [])
    with announced("Drawing the page"):
        page = html(results).encode()
    write_out(output, page)
    say(f"written: {output} ({len(page) / 1e6:.1f} MB)")
    end([*results.skipped, *results.comparison.notes], strict)
