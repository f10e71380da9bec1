"""What was planned against what stands in a results folder: done, failed, missing or damaged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lso_bench.record import Record
from lso_bench.store.run_folder import Standing, State
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.text import some


@dataclass(frozen=True)
class Completeness:
    """How the runs that were planned stand in a store."""

    folder: Path | None  # of the results
    runs: dict[str, PlannedRun]  # by key
    states: dict[str, State]  # by key
    records: list[Record]  # of those that can be read, by key
    damages: dict[str, str]  # by key: the reason, and the mend

    def are(self, *states: State) -> list[PlannedRun]:
        """The runs in one of these states."""
        return [run for key, run in self.runs.items() if self.states[key] in states]

    def without(self, lost: Mapping[str, str]) -> "Completeness":
        """The same once files of runs were asked for that are not whole: as `Store.damaged_files`, a line by its path."""
        damages = {Path(path).parent.name: line for path, line in lost.items()}
        more = {key: line for key, line in damages.items() if key in self.runs and key not in self.damages}
        damaged: State = "damaged"
        return replace(self, states=self.states | dict.fromkeys(more, damaged), damages=self.damages | more)

    @property
    def status(self) -> int:
        """The exit status: 4 where a result is damaged, 3 where a run failed or is missing, else 0."""
        if self.damages:
            return 4
        return 3 if self.are("absent") or any(r.status != "ok" for r in self.records) else 0

    def damaged(self, but: Collection[str] = ()) -> list[str]:
        """A line for each damaged result, with its mend, but for those of some keys."""
        return some([f"damaged: {why}" for key, why in self.damages.items() if key not in but])

    def incomplete(self) -> list[str]:
        """A line for each run that is missing, and one that counts; none where every run is there."""
        absent = self.are("absent")
        if not (absent or self.damages):
            return []
        lines = some([f"missing: {run.spec.title}, {run.spec.key}" for run in absent])
        counts = {"missing": len(absent), "damaged": len(self.damages)}
        kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
        mend = "; the same command makes what is missing" if absent else ""
        return [
            *lines,
            f"{len(self.are('done', 'again'))} of {len(self.runs)} planned runs stand in {self.folder}, {kinds}{mend}.",
        ]


def check(planned: Sequence[PlannedRun], store: Store | None) -> Completeness:
    """How the planned runs stand in the store, each counted once; None: nothing is there yet."""
    runs = {run.spec.key: run for run in planned}
    standings = {key: store.judge(run.spec) if store else Standing("absent") for key, run in runs.items()}
    records = [standing.record for _, standing in sorted(standings.items()) if standing.record]
    damages = {key: standing.why for key, standing in standings.items() if standing.state == "damaged"}
    return Completeness(
        store.folder if store else None, runs, {key: s.state for key, s in standings.items()}, records, damages
    )
