"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import outside
from lso_bench.commands.output import say
from lso_bench.commands.reading import drawn
from lso_bench.errors import UsageError


def report(
    folders: Annotated[list[Path], typer.Argument(parser=outside, help="Results folders, or archives of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", parser=outside, metavar="PATH", help="The page.")] = Path(
        "report.html"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,
) -> None:
    """Write one HTML page about what is in results folders; it needs no network and no other file."""
    from lso_bench.report.html import html, is_report
    from vae.durable import write_out, writing

    with writing(output):
        if output.is_file() and not force and not is_report(output):
            raise UsageError(f"{output} is there and is no report; give another --output, or --force.")
    page = html(drawn(folders)).encode()
    write_out(output, page)
    say(f"written: {output} ({len(page) / 1e6:.1f} MB)")
