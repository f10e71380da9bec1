"""The command `status`."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import out, say
from lso_bench.commands.exit_status import UNUSABLE
from lso_bench.commands.options import Json, outside
from lso_bench.errors import UsageError
from lso_bench.files.sanitize import printable, some


def status(
    folder: Annotated[
        Path, typer.Argument(parser=outside, help="A results folder, or a study file: then only its runs in --results.")
    ] = Path("results"),
    results: Annotated[
        Path, typer.Option(parser=outside, metavar="PATH", help="Folder of the runs of a study file.")
    ] = Path("results"),
    json: Json = False,
) -> None:
    """Show what is done, runs, failed and is damaged (status 4) in a results folder, how fast, and the time left."""
    if folder.is_file():
        _show_study(folder, results, json)
        return
    from lso_bench.store import heartbeat
    from lso_bench.store.store import Store, counted

    store = Store(folder, readonly=True)
    alive, stale = heartbeat.read(folder)
    standings = store.standings()
    counts, damages = counted(standings), [f"damaged: {s.why}" for s in standings if s.state == "damaged"]
    done = {s.record.spec.key for s in standings if s.record and s.state == "done"}
    stale = [r for r in stale if r.key not in done]  # done by another process since
    if json:
        import json as text

        rows = {"runs": counts, "alive": [_row(r) for r in alive], "over": [_row(r) for r in stale]}
        print(text.dumps(rows, indent=1))
    else:
        _show(folder, counts, alive, stale)
    for line in some(damages):
        say(line)
    if damages:
        raise typer.Exit(UNUSABLE)


def _show_study(path: Path, folder: Path, json: bool) -> None:
    """Print how many runs of a study are done, missing, failed and damaged, and the missing ones."""
    from json import dumps

    from lso_bench.api.study import Study
    from lso_bench.store.run_folder import State
    from lso_bench.store.store import existing
    from lso_bench.study import completeness
    from lso_bench.study.recorded_weights import untrained

    if path.suffix != ".toml":
        raise UsageError(f"status wants a results folder or a study file (.toml), not {str(path)!r}.")
    if (store := existing(folder)) is None:
        say(f"{folder} is no results folder yet." if not folder.exists() else f"{folder} is no results folder.")
    planned = Study.from_file(path).plan(folder=folder)
    state = completeness.check(planned, store)
    labels: dict[State, str] = {"done": "done", "damaged": "damaged", "absent": "to do", "again": "failed"}
    counts = {label: len(state.are(key)) for key, label in labels.items()}
    if json:
        print(dumps({"runs": counts, "planned": len(state.runs)}, indent=1))
    else:
        listed = ", ".join(f"{n} {label}" for label, n in counts.items() if n)
        print(printable(f"{path}: {listed} of {len(state.runs)} runs in {folder}"))
    absent = [f"to do: {state.titles[run.spec.key]}, {run.spec.key}" for run in state.are("absent")]
    for line in (*state.damaged(), *some(absent), *untrained(planned)):
        say(line)
    if state.damages:
        raise typer.Exit(UNUSABLE)


def _show(folder: Path, counts: dict[str, int], alive: list, stale: list) -> None:
    from rich.text import Text

    lines = [f"{folder}: " + (", ".join(f"{n} {status_name}" for status_name, n in counts.items()) or "no runs yet")]
    lines += [f"{'runs' if r.key else 'command'}  {_line(r)}" for r in alive]
    lines += [f"ended before its end  {r.title}, on {r.host}, process {r.pid}" for r in stale]
    out().print(Text("\n".join(lines)))


def _line(r) -> str:
    row = _row(r)
    done = f"{r.done} of {r.total}" if r.total else "begins"
    failed = f", {r.failed} failed" if r.failed else ""
    rate = f", {row['a_minute']:.1f} a minute" if row["a_minute"] else ""
    remaining = f", about {row['seconds_left']:.0f} s left" if row["seconds_left"] is not None else ""
    return f"{r.title}: {done}{failed}{rate}{remaining}; {row['seconds']:.0f} s, on {r.host}, process {r.pid}"


def _row(r) -> dict:
    seconds = max(time.time() - r.since, 0.0)
    rate = r.done / seconds if seconds else 0.0
    seconds_left = (r.total - r.done) / rate if rate else None
    return asdict(r) | {"seconds": seconds, "a_minute": 60 * rate, "seconds_left": seconds_left}
