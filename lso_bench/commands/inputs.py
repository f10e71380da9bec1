"""Results folders, and archives of them, as commands read them."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lso_bench.commands.options import FLAGGED
from lso_bench.commands.output import say
from lso_bench.errors import UnusableError
from lso_bench.text import some

if TYPE_CHECKING:
    from lso_bench.record import Record
    from lso_bench.report.html_report import Results
    from lso_bench.spec import Spec
    from lso_bench.store.store import Store
    from lso_bench.vae.metrics import Metrics


@dataclass(frozen=True)
class LoadedRuns:
    """The runs of several places, each once."""

    stores: "Sequence[Store]"
    records: "list[Record]"
    home: "dict[str, Store]"  # where a run's files lie, by its key

    @property
    def skipped(self) -> list[str]:
        """What could not be read so far, a line each: results, and files of runs that were asked for since."""
        return [line for s in self.stores for line in (*s.skipped, *s.damaged_files.values())]

    @property
    def unfinished(self) -> list[str]:
        """A line for each place in which runs are being made, or were broken off."""
        counts = [(s.folder, len(s.unfinished())) for s in self.stores]
        return [f"{at}: {n} runs are in progress, or were broken off; they are left out." for at, n in counts if n]

    def files(self, spec: "Spec") -> "Store":
        """Where a run's files lie."""
        return self.home[spec.key]


def read(paths: Sequence[Path]) -> LoadedRuns:
    """The runs there, or in the results folders right below one that is none; says what could not be read.

    Raises:
        UnusableError: no results folder or archive, or one without runs.
    """
    from lso_bench.store import index
    from lso_bench.store.archive import open_results

    records, home = {}, {}
    stores = [open_results(place) for path in paths for place in _places(path)]
    for store in stores:
        for r in index.records(store):
            if r.spec.key not in records:
                records[r.spec.key], home[r.spec.key] = r, store
    for line in (line for s in stores for line in s.remarks):
        say(line)
    for key in _superseded(records.values()):
        say(f"left out: run {key}, of an older schema, which is there again in the present one")
        del records[key]
    runs = LoadedRuns(stores, [*records.values()], home)
    _say_skipped(runs.skipped)
    if runs.skipped:
        say(f"What helps: lso-bench doctor {' '.join(shlex.quote(str(p)) for p in paths)}")
    if not records:
        raise UnusableError(f"No runs in {', '.join(map(str, paths))}; `lso-bench run` makes some.")
    return runs


def _superseded(records: "Iterable[Record]") -> list[str]:
    """Keys of the runs of an older schema that have been run again since."""
    older = [r.spec for r in records if "schema" in r.versions]
    present = {r.spec for r in records if "schema" not in r.versions} if older else set()
    return [spec.key for spec in older if spec in present]


def print_damaged(stores: "Iterable[Store]") -> None:
    """Say which files of runs were asked for and are not whole; once all is read."""
    _say_skipped([line for store in stores for line in store.damaged_files.values()])


def end(skipped: Sequence[str], strict: bool) -> None:
    """End with the status of --strict, where that is asked for and something could not be read."""
    if strict and skipped:
        raise typer.Exit(FLAGGED)


def _say_skipped(lines: Sequence[str]) -> None:
    for line in some([f"skipped: {line}" for line in lines]):
        say(line)


def _places(path: Path) -> Sequence[Path]:
    from lso_bench.store.store import MARKER_FILE

    below = [] if (path / MARKER_FILE).exists() else sorted(mark.parent for mark in path.glob(f"*/{MARKER_FILE}"))
    if below:
        say(f"{path} has no runs of its own; reading {', '.join(map(str, below))}.")
    return below or [path]


def spaces_of(runs: LoadedRuns) -> "dict[str, Metrics]":
    """What was measured beside them, by the sha256 of the checkpoint; says what of it is unusable."""
    from lso_bench.analysis import collapse

    spaces, unusable = collapse.read([s.folder for s in runs.stores])
    _say_skipped(unusable)
    return spaces


def load_report(paths: Sequence[Path]) -> "Results":
    """What a report is made of; says which files of runs are not whole.

    Raises:
        UnusableError: as `read`.
    """
    from lso_bench.analysis.comparison import compare
    from lso_bench.analysis.curves import with_curves
    from lso_bench.models.measurements import kept
    from lso_bench.report.html_report import Results

    runs = read(paths)
    compared = compare(runs.records, runs.files, spaces=spaces_of(runs))
    found = with_curves(compared, runs.records, runs.files)
    found.notes.extend(runs.unfinished)
    print_damaged(runs.stores)
    spaces = [m for s in runs.stores for m in kept(s.folder)]
    return Results([s.folder for s in runs.stores], runs.records, runs.files, found, spaces, runs.skipped)
