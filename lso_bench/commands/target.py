"""Check the output file of a command, so that no existing file is lost."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.errors import UsageError

Force = Annotated[bool, typer.Option("--force", help="Replace a file of another kind.")]


def check_target(path: Path, is_same_kind: Callable[[Path], bool], kind: str, force: bool) -> None:
    """Refuse to replace a file of another kind, and any file that a results folder keeps.

    An empty file is replaced, and a pipe or device is written to.

    Raises:
        UsageError: says how to proceed.
        UnusableError: the file cannot be read.
    """
    from lso_bench.files.atomic_write import is_special, reporting_disk_errors

    if is_special(path):
        return
    check_outside(path)
    with reporting_disk_errors(path):
        if path.is_file() and path.stat().st_size and not force and not is_same_kind(path):
            raise UsageError(f"{path} is there and is no {kind}; give another --output, or --force.")


def check_outside(path: Path) -> None:
    """Refuse a path among the files of a results folder.

    Raises:
        UsageError: names the folder.
    """
    from lso_bench.store.results_folder import EXPECTED_NAMES, MARKER_FILE

    resolved = Path(os.path.realpath(path))
    for folder in resolved.parents:
        if resolved.relative_to(folder).parts[0] in EXPECTED_NAMES and (folder / MARKER_FILE).is_file():
            raise UsageError(f"{path} lies among the results in {folder}; give a place outside of it.")
