"""Progress on stderr: a bar on a terminal, a line now and then elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Show = Callable[[str, int, int, str], None]  # what is being done, steps done, steps in all, how it stands

EVERY = 20.0  # seconds between two lines where there is no terminal


@contextmanager
def shown(quiet: bool) -> Iterator[Show]:
    """What takes note of progress while the body runs."""
    if quiet:
        yield lambda *_: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _on(bar)
    else:
        yield _lines()


def _bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}")
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _on(bar: Progress) -> Show:
    tasks = {}

    def show(what: str, done: int, total: int, state: str) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(what, total=total, state=state)
        bar.update(tasks[what], completed=done, state=state)

    return show


def _lines() -> Show:
    began: dict[str, tuple[float, int]] = {}  # when, and at which step
    told = 0.0

    def show(what: str, done: int, total: int, state: str) -> None:
        nonlocal told
        now = time.monotonic()
        start, first = began.setdefault(what, (now, done))
        if now - told >= EVERY:
            left = f", about {(now - start) / (done - first) * (total - done):.0f} s left" if done > first else ""
            print(f"{what}: {done}/{total}, {state}{left}", file=sys.stderr, flush=True)
            told = now

    return show
