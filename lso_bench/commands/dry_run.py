"""Print what a plan would run, and for how long."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from lso_bench.api.output import say
from lso_bench.files.sanitize import printable

if TYPE_CHECKING:
    from lso_bench.study.grid import PlannedRun

UNKNOWN_KEY = "not known yet"  # of a run whose model is not trained


def print_plan(planned: list, results: Path, jobs: int, json: bool) -> None:
    """Print the grid, which runs are done, and the estimated time of the rest."""
    from lso_bench.store.store import existing
    from lso_bench.study import completeness
    from lso_bench.study.estimate import estimate
    from lso_bench.study.recorded_weights import untrained

    store = existing(results)
    state = completeness.check(planned, store)
    labels = {"done": "done", "damaged": "damaged"}
    rows = [(p, labels.get(state.states[p.spec.key], "to do")) for p in planned]
    if json:
        print(_as_json(rows))
    for p, label in () if json else rows:
        print(printable(f"{_key(p) or UNKNOWN_KEY:16}  {label:5}  {state.titles[p.spec.key]}  ({p.checkpoint.name})"))
    for line in (*state.damaged(), *untrained(planned)):
        say(line)
    todo, damaged = state.are("absent", "again"), f", {len(state.damages)} damaged" * bool(state.damages)
    estimated = estimate(todo, store or [])
    say(f"{len(state.runs)} runs: {len(state.are('done'))} done, {len(todo)} to do{damaged}.")
    if estimated.measured:
        say(
            f"About {estimated.seconds / jobs:.0f} s for {estimated.measured} of them, {jobs} at a time, "
            "by runs like them."
        )
    if estimated.unknown:
        say(f"No run like {len(estimated.unknown)} of them was measured yet, as {estimated.unknown[0]}.")


def _key(run: "PlannedRun") -> str | None:
    """Return the key of a run; None if it follows from weights that nobody knows yet."""
    return run.spec.key if run.spec.checkpoint or not run.untrained else None


def _as_json(rows: list) -> str:
    """Return a JSON list with an object per run; `state`: to do, done or damaged."""
    fields = [
        {"key": _key(p), "state": label, "title": p.spec.title, "checkpoint": str(p.checkpoint)}
        | {name: getattr(p.spec, name) for name in ("region", "max_steps", "budget")}
        for p, label in rows
    ]
    return dumps(fields, indent=1)
