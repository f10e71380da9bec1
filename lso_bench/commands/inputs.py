"""Read results folders, and archives of them, for commands."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lso_bench.commands.exit_status import INCOMPLETE
from lso_bench.commands.output import say
from lso_bench.errors import UnusableError
from lso_bench.files.sanitize import some

if TYPE_CHECKING:
    from lso_bench.record import Record
    from lso_bench.report.html_report import Results
    from lso_bench.spec import Spec
    from lso_bench.store.store import Store
    from lso_bench.vae.metrics import Metrics


@dataclass(frozen=True)
class LoadedRuns:
    """Runs of several places, each once."""

    stores: "Sequence[Store]"
    records: "list[Record]"
    store_by_key: "dict[str, Store]"  # store of a run's files, by its key

    @property
    def skipped(self) -> list[str]:
        """Messages about what could not be read so far: results, and files of runs."""
        return [line for s in self.stores for line in (*s.skipped, *s.damaged_files.values())]

    @property
    def unfinished(self) -> list[str]:
        """A message for each place with runs in progress or interrupted runs."""
        counts = [(s.folder, len(s.unfinished())) for s in self.stores]
        return [
            f"{n} runs are in progress, or were broken off; they are left out: {folder}." for folder, n in counts if n
        ]

    def files(self, spec: "Spec") -> "Store":
        """Return the store that holds a run's files."""
        return self.store_by_key[spec.key]


def read(paths: Sequence[Path]) -> LoadedRuns:
    """Read the runs of these folders or archives, and print which results are unreadable.

    A path without runs of its own stands for the results folders right below it.

    Raises:
        UnusableError: a path is no results folder or archive, or there are no runs.
    """
    from lso_bench.store import index
    from lso_bench.store.archive import open_results

    records, store_by_key = {}, {}
    stores = [open_results(place) for path in paths for place in _results_folders(path)]
    for store in stores:
        for r in index.records(store):
            if r.spec.key not in records:
                records[r.spec.key], store_by_key[r.spec.key] = r, store
    for line in (line for s in stores for line in s.remarks):
        say(line)
    for key in _superseded(records.values()):
        say(f"left out: run {key}, of an older schema, which is there again in the present one")
        del records[key]
    runs = LoadedRuns(stores, [*records.values()], store_by_key)
    _print_skipped(runs.skipped)
    if runs.skipped:
        say(f"What helps: lso-bench doctor {' '.join(shlex.quote(str(p)) for p in paths)}")
    if not records:
        raise UnusableError(f"No runs in {', '.join(map(str, paths))}; `lso-bench run` makes some.")
    return runs


def _superseded(records: "Iterable[Record]") -> list[str]:
    """Return the keys of runs of an older schema that were run again since."""
    old_specs = [r.spec for r in records if "schema" in r.versions]
    current_specs = {r.spec for r in records if "schema" not in r.versions} if old_specs else set()
    return [spec.key for spec in old_specs if spec in current_specs]


def print_damaged(stores: "Iterable[Store]") -> None:
    """Print which of the requested files of runs are damaged; call it after all reading."""
    _print_skipped([line for store in stores for line in store.damaged_files.values()])


def end(skipped: Sequence[str], strict: bool) -> None:
    """Exit with the status of --strict, if it is set and something could not be read."""
    if strict and skipped:
        raise typer.Exit(INCOMPLETE)


def _print_skipped(lines: Sequence[str]) -> None:
    for line in some([f"skipped: {line}" for line in lines]):
        say(line)


def _results_folders(path: Path) -> Sequence[Path]:
    from lso_bench.store.results_folder import MARKER_FILE

    subfolders = [] if (path / MARKER_FILE).exists() else sorted(mark.parent for mark in path.glob(f"*/{MARKER_FILE}"))
    if subfolders:
        say(f"{path} has no runs of its own; reading {', '.join(map(str, subfolders))}.")
    return subfolders or [path]


def spaces_of(runs: LoadedRuns) -> "dict[str, Metrics]":
    """Return the stored metrics of latent spaces, by the sha256 of the checkpoint; print which files are unusable."""
    from lso_bench.analysis import collapse

    spaces, unusable = collapse.read([s.folder for s in runs.stores])
    _print_skipped(unusable)
    return spaces


def load_report(paths: Sequence[Path]) -> "Results":
    """Read everything that a report needs; print which files of runs are damaged.

    Raises:
        UnusableError: as for `read`.
    """
    from lso_bench.analysis.comparison import compare
    from lso_bench.analysis.curves import with_curves
    from lso_bench.models.measurements import load_all
    from lso_bench.report.html_report import Results

    runs = read(paths)
    without_curves = compare(runs.records, runs.files, spaces=spaces_of(runs))
    comparison = with_curves(without_curves, runs.records, runs.files)
    comparison.notes.extend(runs.unfinished)
    print_damaged(runs.stores)
    spaces = [m for s in runs.stores for m in load_all(s.folder)]
    return Results([s.folder for s in runs.stores], runs.records, runs.files, comparison, spaces, runs.skipped)
