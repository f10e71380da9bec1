"""The command `status`."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import out, say
from lso_bench.commands.exit_status import UNUSABLE
from lso_bench.commands.options import Json, outside
from lso_bench.files.sanitize import some


def status(
    folder: Annotated[Path, typer.Argument(parser=outside, help="A results folder.")] = Path("results"),
    json: Json = False,
) -> None:
    """Show what is done, runs, failed and is damaged (status 4) in a results folder, how fast, and the time left."""
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
