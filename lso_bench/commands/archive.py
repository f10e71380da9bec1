"""The command `archive`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import outside
from lso_bench.commands.output import say


def archive(
    folder: Annotated[Path, typer.Argument(parser=outside, help="Results folder.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", parser=outside, metavar="PATH", help="[default: the folder's name .tar.zst]"),
    ] = None,
) -> None:
    """Pack a results folder into one file, hash-checked when read; what reads results takes it as it is."""
    from lso_bench.archive import pack

    path = output or Path(f"{os.path.basename(os.path.realpath(folder))}.tar.zst")
    count = pack(folder, path)
    say(f"written: {path}, {count} files; `lso-bench compare {path}` reads it.")
