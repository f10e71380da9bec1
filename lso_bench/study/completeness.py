"""Compare planned runs with a results folder: done, failed, missing or damaged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lso_bench.files.sanitize import some
from lso_bench.record import Record
from lso_bench.store.run_folder import Standing, State
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.study.titles import short_titles, titles


@dataclass(frozen=True)
class Completeness:
    """States of the planned runs in a store."""

    folder: Path | None  # results folder
    runs: dict[str, PlannedRun]  # by key
    states: dict[str, State]  # by key
    records: list[Record]  # readable records, by key
    damages: dict[str, str]  # reason and remedy, by key

    def are(self, *states: State) -> list[PlannedRun]:
        """Return the runs in one of these states."""
        return [run for key, run in self.runs.items() if self.states[key] in states]

    def without(self, damaged_files: Mapping[str, str]) -> "Completeness":
        """Mark runs with damaged files as damaged; `damaged_files` as in `Store`: a message by path."""
        damages = {Path(path).parent.name: line for path, line in damaged_files.items()}
        new_damages = {key: line for key, line in damages.items() if key in self.runs and key not in self.damages}
        damaged_state: State = "damaged"
        states = self.states | dict.fromkeys(new_damages, damaged_state)
        return replace(self, states=states, damages=self.damages | new_damages)

    @cached_property
    def titles(self) -> dict[str, str]:
        """Texts that tell the runs apart, by key."""
        return titles(run.spec for run in self.runs.values())

    @cached_property
    def short_titles(self) -> dict[str, str]:
        """Titles by key, with more words for runs that share one."""
        return short_titles(run.spec for run in self.runs.values())

    @property
    def complete(self) -> bool:
        """True if every planned run is present and ended well."""
        return not (self.damages or self.are("absent")) and all(r.status == "ok" for r in self.records)

    def damaged(self, except_keys: Collection[str] = ()) -> list[str]:
        """Return a message for each damaged result, with its remedy, except for some keys."""
        return some([f"damaged: {why}" for key, why in self.damages.items() if key not in except_keys])

    def incomplete(self) -> list[str]:
        """Return a message for each missing run, and one with the counts; empty if every run is present."""
        absent = self.are("absent")
        if not (absent or self.damages):
            return []
        lines = some([f"missing: {self.titles[run.spec.key]}, {run.spec.key}" for run in absent])
        counts = {"missing": len(absent), "damaged": len(self.damages)}
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        mend = "; the same command makes what is missing" if absent else ""
        return [
            *lines,
            f"{len(self.are('done', 'again'))} of {len(self.runs)} planned runs stand in {self.folder}, {kinds}{mend}.",
        ]


def check(planned: Sequence[PlannedRun], store: Store | None) -> Completeness:
    """Return the states of the planned runs in the store, each counted once; None stands for no results folder yet."""
    runs = {run.spec.key: run for run in planned}
    standings = {key: store.judge(run.spec) if store else Standing("absent") for key, run in runs.items()}
    records = [standing.record for _, standing in sorted(standings.items()) if standing.record]
    damages = {key: standing.why for key, standing in standings.items() if standing.state == "damaged"}
    return Completeness(
        store.folder if store else None, runs, {key: s.state for key, s in standings.items()}, records, damages
    )
