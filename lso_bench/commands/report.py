"""The command `report`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.output import say
from lso_bench.commands.reading import drawn
from lso_bench.errors import UnusableError, UsageError


def report(
    folders: Annotated[list[Path], typer.Argument(help="Results folders, or archives of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page.")] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no report.")] = False,
) -> None:
    """Write one HTML page about what is in results folders; it needs no network and no other file."""
    from lso_bench.report.html import html, is_report

    try:
        if output.exists() and not force and not is_report(output):
            raise UsageError(f"{output} is there and is no report; give another --output, or --force.")
        results = drawn(folders)
        part = output.with_name(f".{output.name}.part")
        part.write_text(html(results), encoding="utf-8")
        part.replace(output)
    except OSError as error:
        raise UnusableError(f"Cannot write {output}: {error.strerror or error}; give another --output.") from error
    say(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB)")
