"""The command `export`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.commands.inputs import end, print_damaged, read
from lso_bench.commands.options import Strict, Where, outside
from lso_bench.commands.target import Force, check_target
from lso_bench.errors import UnusableError


def export(
    results: Annotated[list[Path], typer.Argument(parser=outside, help="Results folders, or archives of them.")],
    format: Annotated[str, typer.Option(help="csv, parquet or xlsx; the last two by lso-bench[export].")] = "csv",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", parser=outside, metavar="PATH", help="File [default: WHAT.FORMAT].")
    ] = None,
    what: Annotated[
        str, typer.Option(help="A table: measures, runs, members (single searches) or traces.")
    ] = "measures",
    where: Where = None,
    force: Force = False,
    strict: Strict = False,
) -> None:
    """Write results as one flat table for other programs."""
    from lso_bench.report import frames

    path = output or Path(f"{what}.{format}")
    frames.check(what, format)
    runs = read(results)
    runs = runs.where(*where) if where else runs

    def check(columns: list[str]) -> None:
        check_target(path, lambda file: frames.begins_so(file, format, columns), f"{format} of {what}", force)

    rows = frames.export(runs.records, runs.files, what, format, path, check)
    print_damaged(runs.stores)
    if not rows:
        raise UnusableError(
            f"No {what} in {', '.join(map(str, results))}: no run has ended well, or what they left is damaged."
        )
    say(f"written: {path}, {rows} rows")
    end(runs.skipped, strict)
