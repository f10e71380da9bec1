"""Progress on stderr: bars on a terminal, occasional lines elsewhere, nothing if quiet."""

import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from lso_bench.files.sanitize import one_line
from lso_bench.store import heartbeat

Show = Callable[[str, int, int, str], None]  # activity, steps done, total steps, state

EVERY = 10.0  # seconds between two lines without a terminal
MOMENT = 1.5  # seconds before the first message
LOOK = 0.3  # seconds between two readings of the heartbeats
LONGEST = 120  # characters of a name or state
SHOWN = 2  # runs in a line


@contextmanager
def progress_display(quiet: bool) -> Iterator[Show]:
    """Yield a function that shows progress while the body runs."""
    if quiet:
        yield lambda *_: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _show_on_bar(bar)
    else:
        yield _lines()


@contextmanager
def study_progress(
    quiet: bool, folder: Path, keys: Collection[str], titles: Mapping[str, str] | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Show the progress of the runs with these keys while the body runs.

    The body calls the yielded function with the number of done and of failed runs. Without a terminal there is a line
    every EVERY seconds, unless the caller printed one. Of the runs in `titles` these texts are shown, by key.
    """
    if quiet:
        yield lambda *_: None
        return
    ended = Event()
    with _bar() if sys.stderr.isatty() else nullcontext() as bar:
        shown = _RunBars(bar, len(keys)) if bar else _RunLines(len(keys))
        poller = Thread(target=_poll, args=(ended, folder, keys, titles or {}, shown.show), daemon=True)
        poller.start()
        try:
            yield shown.count
        finally:
            ended.set()
            poller.join()


@contextmanager
def announced(activity: str, quiet: bool = False) -> Iterator[None]:
    """Name an activity without steps on stderr if the body takes more than a moment, and again every EVERY seconds."""
    if quiet:
        yield
        return
    ended, began = Event(), time.monotonic()

    def announce() -> None:
        wait = MOMENT
        while not ended.wait(wait):
            passed = time.monotonic() - began
            print(f"{activity} ...{f' {passed:.0f} s' * (passed > EVERY)}", file=sys.stderr, flush=True)
            wait = EVERY

    announcer = Thread(target=announce, daemon=True)
    announcer.start()
    try:
        yield
    finally:
        ended.set()
        announcer.join()


def planning(quiet: bool) -> Callable[[int, int], None]:
    """Return a function that shows how many runs are planned, if that takes more than a moment."""
    due = time.monotonic() + MOMENT

    def report(done: int, total: int) -> None:
        nonlocal due
        if not quiet and time.monotonic() >= due:
            print(f"Planning: {done:,} of {total:,} runs", file=sys.stderr, flush=True)
            due = time.monotonic() + EVERY

    return report


def _poll(
    ended: Event,
    folder: Path,
    keys: Collection[str],
    titles: Mapping[str, str],
    show: Callable[[list[heartbeat.Heartbeat]], None],
) -> None:
    while not ended.wait(LOOK):
        show([replace(r, title=titles.get(r.key, r.title)) for r in heartbeat.read(folder)[0] if r.key in keys])


class _RunLines:
    """Lines about the runs of a study, from time to time."""

    def __init__(self, total: int):
        self._total, self._done, self._failed = total, 0, 0
        self._due = time.monotonic() + MOMENT
        self._alone = _lines()

    def count(self, done: int, failed: int) -> None:
        self._done, self._failed = done, failed
        self._due = time.monotonic() + EVERY  # the caller prints a line

    def show(self, runs: list[heartbeat.Heartbeat]) -> None:
        if self._total == 1:
            for r in (r for r in runs if r.total):
                self._alone(r.title, r.done, r.total, r.state)
        elif time.monotonic() >= self._due:
            failed = f", {self._failed} failed" * bool(self._failed)
            states = [
                f"{_short(r.title)}: {r.done}/{r.total}" if r.total else f"{_short(r.title)} begins" for r in runs
            ]
            rest = f" and {len(states) - SHOWN} more" * (len(states) > SHOWN)
            current = "; ".join([f"{self._done} of {self._total} runs done{failed}", *states[:SHOWN]])
            print(current + rest, file=sys.stderr, flush=True)
            self._due = time.monotonic() + EVERY


class _RunBars:
    """Bar for all runs of a study, and one for each current run."""

    def __init__(self, bar: Progress, total: int):
        self._bar, self._all = bar, bar.add_task("runs", total=total, state="")
        self._tasks: dict[str, TaskID] = {}

    def count(self, done: int, failed: int) -> None:
        self._bar.update(self._all, completed=done, state=f"{failed} failed" if failed else "")

    def show(self, runs: list[heartbeat.Heartbeat]) -> None:
        for key in self._tasks.keys() - {r.key for r in runs}:
            self._bar.remove_task(self._tasks.pop(key))
        for r in runs:
            if r.key not in self._tasks:
                self._tasks[r.key] = self._bar.add_task(_short(r.title), total=None, state="")
            self._bar.update(self._tasks[r.key], completed=r.done, total=r.total or None, state=_short(r.state))


class _SafeColumn(ProgressColumn):
    """Column that stays empty if it cannot be drawn: a display must not end a study."""

    def __init__(self, column: ProgressColumn):
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        try:
            return self._column(task)
        except Exception:  # any error of a text or of rich
            return ""


def _bar() -> Progress:
    description, state = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[state]}"))
    columns = description, BarColumn(), MofNCompleteColumn(), state, TimeRemainingColumn()
    return Progress(*map(_SafeColumn, columns), console=Console(stderr=True), transient=True)


def _short(text: str) -> str:
    """Shorten a text of a heartbeat or a plugin, and remove its control characters."""
    return one_line(text, LONGEST)


def _show_on_bar(bar: Progress) -> Show:
    tasks = {}

    def show(activity: str, done: int, total: int, state: str) -> None:
        if activity not in tasks:
            tasks[activity] = bar.add_task(_short(activity), total=total, state="")
        bar.update(tasks[activity], completed=done, state=_short(state))

    return show


def _lines() -> Show:
    beginnings: dict[str, tuple[float, int]] = {}  # time and step of the first call, by activity
    last_printed = 0.0

    def show(activity: str, done: int, total: int, state: str) -> None:
        nonlocal last_printed
        now = time.monotonic()
        start, first = beginnings.setdefault(activity, (now, done))
        if now - last_printed >= EVERY:
            remaining = f", about {(now - start) / (done - first) * (total - done):.0f} s left" if done > first else ""
            print(f"{_short(activity)}: {done}/{total}, {_short(state)}{remaining}", file=sys.stderr, flush=True)
            last_printed = now

    return show
