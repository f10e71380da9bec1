"""Read results for commands, and print what was noticed."""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lso_bench.api.output import say
from lso_bench.commands.exit_status import INCOMPLETE
from lso_bench.files.sanitize import some

if TYPE_CHECKING:
    from lso_bench.api.results import Results
    from lso_bench.report import html_report
    from lso_bench.store.store import Store


def read(paths: Sequence[Path]) -> "Results":
    """Read the runs of these folders or archives, and print which results are unreadable.

    Raises:
        UnusableError: a path is no results folder or archive, or there are no runs.
    """
    from lso_bench.api import results

    runs = results.read(paths, say)
    print_skipped(runs.skipped)
    if runs.skipped:
        say(f"What helps: lso-bench doctor {' '.join(shlex.quote(str(p)) for p in paths)}")
    return runs.required()


def print_damaged(stores: "Iterable[Store]") -> None:
    """Print which of the requested files of runs are damaged; call it after all reading."""
    print_skipped([line for store in stores for line in store.damaged_files.values()])


def end(noticed: Sequence[str], strict: bool) -> None:
    """Exit with the status of --strict, if it is set and something could not be read, or is flagged."""
    if strict and noticed:
        raise typer.Exit(INCOMPLETE)


def print_skipped(lines: Sequence[str]) -> None:
    """Print a line for each thing that could not be read; of many the first ones."""
    for line in some([f"skipped: {line}" for line in lines]):
        say(line)


def load_report(paths: Sequence[Path], where: Sequence[str] = ()) -> "html_report.Results":
    """Read everything that a report needs, of the runs of which all conditions hold; print which files are damaged.

    Raises:
        UnusableError: as for `read`.
        UsageError: a field does not exist, or no run is left.
    """
    runs = read(paths)
    content = (runs.where(*where) if where else runs).page()
    print_skipped(runs.unusable_spaces)
    print_damaged(runs.stores)
    return content
