"""Results: the runs of results folders and archives, as tables."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lso_bench.analysis import collapse, unmeasured
from lso_bench.analysis.comparison import Comparison, Targets, brief, compare
from lso_bench.analysis.curves import with_curves
from lso_bench.analysis.fields import chosen, conditions, named
from lso_bench.analysis.table import GROUP_KEYS
from lso_bench.analysis.united import united
from lso_bench.api.comparison import ResultComparison
from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.paths import absolute, from_here
from lso_bench.files.sanitize import some
from lso_bench.record import Record
from lso_bench.report import frames
from lso_bench.spec import Spec
from lso_bench.store import index
from lso_bench.store.archive import open_results
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.store.store import Store
from lso_bench.vae.metrics import Metrics

if TYPE_CHECKING:  # the page needs matplotlib, which takes a second to import
    from lso_bench.report import html_report


@dataclass(frozen=True)
class Results:
    """Runs of one or several results folders or archives, each once.

    `runs`, `searches` and `traces` are DataFrames; docs/json.md names their columns.
    """

    stores: Sequence[Store]
    records: list[Record]
    store_by_key: dict[str, Store] = field(repr=False)  # store of a run's files, by its key
    is_selection: bool = False  # whether runs were left out by `where`

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        places = ", ".join(str(from_here(s.folder)) for s in self.stores)
        return f"<{len(self)} runs of {places}{f', {len(self.skipped)} skipped' if self.skipped else ''}>"

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run: what it is, how it ended, what it took."""
        return frames.TABLES["runs"](self.records, self.files)

    @cached_property
    def searches(self) -> pd.DataFrame:
        """One row per search: run, instance, start, losses, and steps to each threshold."""
        return frames.TABLES["members"](self.records, self.files)

    @cached_property
    def traces(self) -> pd.DataFrame:
        """One row per recorded step of a search: its loss."""
        return frames.TABLES["traces"](self.records, self.files)

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

    def required(self) -> "Results":
        """Return these results, if there are any.

        Raises:
            UnusableError: there are none.
        """
        if not self.records:
            places = ", ".join(str(s.folder) for s in self.stores)
            raise UnusableError(f"No runs in {places}; `lso-bench run` makes some.")
        return self

    def files(self, spec: Spec) -> Store:
        """Return the store that holds a run's files."""
        return self.store_by_key[spec.key]

    def where(self, *texts: str, **fields: object) -> "Results":
        """Return the runs of which all conditions hold.

        Args:
            texts: conditions as `"beta<1"` or `"seed.init=0,1"`; docs/compare.md lists the fields.
            fields: wanted values: `task="omniglot50"`, or several in a list: `model=["vae", "nevae_se"]`.

        Raises:
            UsageError: a field does not exist, or no run is left.
        """
        return replace(self, records=chosen(self.records, conditions(texts, fields, self.records)), is_selection=True)

    def compare(self, by: Sequence[str] = (), targets: Targets = "task", traces: bool = True) -> ResultComparison:
        """Compare final losses, convergence and dependence on the start, over models and searchers.

        Args:
            by: fields that split the rows further.
            targets: targets are common to all models ("task") or to the searchers of each model ("model").
            traces: read the files of the runs too; without, there are no costs to targets and no distances.

        Raises:
            UsageError: a field does not exist.
        """
        split = [f for f in dict.fromkeys(named(f, self.records) for f in by) if f not in GROUP_KEYS]
        files, records = self.files if traces else None, united(self.records)

        def compute(extent: Literal["full", "brief"]) -> Comparison:
            if extent == "brief":
                comparison = brief(records, targets, split)
            else:
                comparison = compare(records, files, targets, split, self._measured[0])
                comparison.notes.extend(unmeasured.notes(comparison.collapse, [s.folder for s in self.stores]))
            comparison.notes.extend(self.unfinished)
            return comparison

        return ResultComparison(compute, records, self.files, [s.folder for s in self.stores])

    @property
    def unusable_spaces(self) -> list[str]:
        """Messages about files of measured latent spaces that cannot be used."""
        return self._measured[1]

    @property
    def _measured(self) -> tuple[dict[str, Metrics], list[str]]:
        """Measured latent spaces by the sha256 of the checkpoint, and `unusable_spaces`; `evaluate` may add some."""
        return collapse.read([s.folder for s in self.stores])

    def report(self, path: str | Path = "report.html") -> Path:
        """Write one HTML page about the runs, and return its path.

        Raises:
            WriteError: the file cannot be written.
        """
        from lso_bench.files.atomic_write import write_out
        from lso_bench.report import html_report

        target = absolute(path)
        write_out(target, html_report.html(self.page()).encode())
        return target

    def page(self) -> "html_report.Results":
        """Return what the HTML page shows; of a selection also the measured latent spaces are those of its runs."""
        from lso_bench.models.measurements import load_all
        from lso_bench.report import html_report

        comparison = with_curves(self.compare().comparison, united(self.records), self.files)
        folders = [s.folder for s in self.stores]
        searched = {r.spec.checkpoint for r in self.records}
        spaces = [m for folder in folders for m in load_all(folder)]
        spaces = [m for m in spaces if not self.is_selection or m.inputs["checkpoint"] in searched]
        return html_report.Results(folders, self.records, self.files, comparison, spaces, self.skipped)


def load(*places: str | Path) -> Results:
    """Read the runs of these folders or archives; what cannot be read is warned of.

    A folder without runs of its own stands for the results folders right below it.

    Raises:
        UsageError: a place is no path.
        UnusableError: a place is no results folder or archive, or there are no runs.
    """
    for place in places:
        if not isinstance(place, str | Path):
            raise UsageError(f"load: wanted paths one after the other, load('a', 'b'), got a {type(place).__name__}.")
    results = read([absolute(p) for p in places], lambda line: warnings.warn(line, stacklevel=4))
    for line in some([f"skipped: {line}" for line in (*results.skipped, *results.unusable_spaces)]):
        warnings.warn(line, stacklevel=2)
    return results.required()


def read(places: Sequence[Path], say: Callable[[str], None]) -> Results:
    """Read the runs of these folders or archives, and say what was noticed; there may be none.

    Raises:
        UnusableError: a place is no results folder or archive.
    """
    records, store_by_key = {}, {}
    stores = [open_results(folder) for place in places for folder in _results_folders(place, say)]
    for store in stores:
        for r in index.records(store):
            if r.spec.key not in records:
                records[r.spec.key], store_by_key[r.spec.key] = r, store
    for line in (line for s in stores for line in s.remarks):
        say(line)
    for key in _superseded(records.values()):
        say(f"left out: run {key}, of an older schema, which is there again in the present one")
        del records[key]
    return Results(stores, [*records.values()], store_by_key)


def _superseded(records: Iterable[Record]) -> list[str]:
    """Return the keys of runs of an older schema that were run again since."""
    old_specs = [r.spec for r in records if "schema" in r.versions]
    current_specs = {r.spec for r in records if "schema" not in r.versions} if old_specs else set()
    return [spec.key for spec in old_specs if spec in current_specs]


def _results_folders(place: Path, say: Callable[[str], None]) -> Sequence[Path]:
    subfolders = (
        [] if (place / MARKER_FILE).exists() else sorted(mark.parent for mark in place.glob(f"*/{MARKER_FILE}"))
    )
    if subfolders:
        say(f"{place} has no runs of its own; reading {', '.join(map(str, subfolders))}.")
    return subfolders or [place]
