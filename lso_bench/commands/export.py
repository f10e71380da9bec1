"""The command `export`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.output import say


def export(
    results: Annotated[list[Path], typer.Argument(help="Results folders, or archives of them.")],
    format: Annotated[str, typer.Option(help="csv, parquet or xlsx; the last two by lso-bench[export].")] = "csv",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File [default: WHAT.FORMAT].")] = None,
    what: Annotated[
        str, typer.Option(help="A table: measures, runs, members (single searches) or traces.")
    ] = "measures",
) -> None:
    """Write results as one flat table for other programs."""
    from lso_bench.archive import open_results
    from lso_bench.errors import UnusableError
    from lso_bench.report import frames

    path = output or Path(f"{what}.{format}")
    stores = [open_results(r) for r in results]
    rows = frames.export(stores, what, format, path)
    for line in (line for s in stores for line in s.skipped):
        say(f"skipped: {line}")
    if not rows:
        raise UnusableError(f"No runs in {', '.join(map(str, results))}; `lso-bench run` makes some.")
    say(f"written: {path}, {rows} rows")
