"""The command `status`."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import Json, outside
from lso_bench.commands.output import out


def status(
    folder: Annotated[Path, typer.Argument(parser=outside, help="A results folder.")] = Path("results"),
    json: Json = False,
) -> None:
    """What is done, runs and failed in a results folder, how fast, and how long it will take; also while it runs."""
    from lso_bench import running
    from lso_bench.store import Store

    store = Store(folder, readonly=True)
    alive, over = running.read(folder)
    counts = store.counts()
    if json:
        import json as text

        rows = {"runs": counts, "alive": [_row(r) for r in alive], "over": [_row(r) for r in over]}
        print(text.dumps(rows, indent=1))
        return
    from rich.text import Text

    lines = [f"{folder}: " + (", ".join(f"{n} {what}" for what, n in counts.items()) or "no runs yet")]
    lines += [f"{'runs' if r.key else 'command'}  {_line(r)}" for r in alive]
    lines += [f"ended before its end  {r.title}, on {r.host}, process {r.pid}" for r in over]
    out().print(Text("\n".join(lines)))


def _line(r) -> str:
    now = _row(r)
    done = f"{r.done} of {r.total}" if r.total else "begins"
    failed = f", {r.failed} failed" if r.failed else ""
    rate = f", {now['a_minute']:.1f} a minute" if now["a_minute"] else ""
    left = f", about {now['seconds_left']:.0f} s left" if now["seconds_left"] is not None else ""
    return f"{r.title}: {done}{failed}{rate}{left}; {now['seconds']:.0f} s, on {r.host}, process {r.pid}"


def _row(r) -> dict:
    seconds = max(time.time() - r.since, 0.0)
    rate = r.done / seconds if seconds else 0.0
    left = (r.total - r.done) / rate if rate else None
    return asdict(r) | {"seconds": seconds, "a_minute": 60 * rate, "seconds_left": left}
