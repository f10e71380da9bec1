"""The command `archive`."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.commands.exit_status import UNUSABLE
from lso_bench.commands.options import outside
from lso_bench.commands.target import Force, check_target
from lso_bench.files.sanitize import some


def archive(
    folder: Annotated[Path, typer.Argument(parser=outside, help="Results folder.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", parser=outside, metavar="PATH", help="[default: the folder's name .tar.zst]"),
    ] = None,
    force: Force = False,
) -> None:
    """Pack a results folder into one file, hash-checked when read; what reads results takes it as it is."""
    from lso_bench.store.archive import holds, pack

    path = output or Path(f"{os.path.basename(os.path.realpath(folder))}.tar.zst")
    check_target(path, lambda target: holds(folder, target), f"archive whose runs are all in {folder}", force)
    count = pack(folder, path)
    reads = (
        f"; `lso-bench compare {shlex.quote(str(path))}` reads it" if path.is_file() and str(path).isprintable() else ""
    )
    say(f"written: {path}, {count} files{reads}.")
    _print_damages(folder)


def _print_damages(folder: Path) -> None:
    """Name the damaged runs in the archive; exit with status 4 if there are any."""
    from lso_bench.doctor.results import LOSSES, MENDS, faults
    from lso_bench.store.store import Store

    damages = [fault for fault in faults(Store(folder, readonly=True)) if fault.kind in LOSSES]
    for line in some(
        [f"damaged, and packed so: {f.where}: {f.why}; {MENDS[f.kind]}, then pack again" for f in damages]
    ):
        say(line)
    if damages:
        raise typer.Exit(UNUSABLE)
