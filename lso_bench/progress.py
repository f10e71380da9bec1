"""Progress on stderr: bars on a terminal, a line now and then elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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

from lso_bench.store import heartbeat
from lso_bench.text import one_line

Show = Callable[[str, int, int, str], None]  # what is being done, steps done, steps in all, how it stands

EVERY = 20.0  # seconds between two lines where there is no terminal
MOMENT = 1.5  # seconds of planning of which nothing is said
LOOK = 0.3  # seconds between two looks at what runs
LONGEST = 120  # characters of a name or of how it stands


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


@contextmanager
def study_progress(quiet: bool, folder: Path, keys: set[str]) -> Iterator[Callable[[int, int], None]]:
    """While the body runs, how far the runs with these keys are; the body says how many are done, and failed.

    Where there is no terminal only a run on its own is told of; of several the caller says a line each.
    """
    if quiet or not (sys.stderr.isatty() or len(keys) == 1):
        yield lambda *_: None
        return
    over = Event()
    with _bar() if sys.stderr.isatty() else nullcontext() as bar:
        all_of_them = _Runs(bar, len(keys)) if bar else None
        show = all_of_them.show if all_of_them else _each(_lines())
        looking = Thread(target=_look, args=(over, folder, keys, show), daemon=True)
        looking.start()
        try:
            yield all_of_them.count if all_of_them else lambda *_: None
        finally:
            over.set()
            looking.join()


def planning(quiet: bool) -> Callable[[int, int], None]:
    """What takes note of how many runs are planned; says so where that takes more than a moment, and then rarely."""
    due = time.monotonic() + MOMENT

    def report(done: int, total: int) -> None:
        nonlocal due
        if not quiet and time.monotonic() >= due:
            print(f"Planning: {done:,} of {total:,} runs", file=sys.stderr, flush=True)
            due = time.monotonic() + EVERY

    return report


def _look(over: Event, folder: Path, keys: set[str], show: Callable[[list[heartbeat.Heartbeat]], None]) -> None:
    while not over.wait(LOOK):
        show([r for r in heartbeat.read(folder)[0] if r.key in keys])


def _each(show: Show) -> Callable[[list[heartbeat.Heartbeat]], None]:
    def each(runs: list[heartbeat.Heartbeat]) -> None:
        for r in runs:
            if r.total:
                show(r.title, r.done, r.total, r.state)

    return each


class _Runs:
    """A bar for all runs of a study, and one for each that runs at the moment."""

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


class _Careful(ProgressColumn):
    """A column that is left empty where it cannot be drawn: a display ends no study."""

    def __init__(self, column: ProgressColumn):
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        try:
            return self._column(task)
        except Exception:  # whatever a text, or rich, comes upon
            return ""


def _bar() -> Progress:
    what, state = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[state]}"))
    columns = what, BarColumn(), MofNCompleteColumn(), state, TimeRemainingColumn()
    return Progress(*map(_Careful, columns), console=Console(stderr=True), transient=True)


def _short(text: str) -> str:
    """A text from a note or of a plugin, which a terminal shows and does not obey."""
    return one_line(text, LONGEST)


def _on(bar: Progress) -> Show:
    tasks = {}

    def show(what: str, done: int, total: int, state: str) -> None:
        if what not in tasks:
            tasks[what] = bar.add_task(_short(what), total=total, state="")
        bar.update(tasks[what], completed=done, state=_short(state))

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
            print(f"{_short(what)}: {done}/{total}, {_short(state)}{left}", file=sys.stderr, flush=True)
            told = now

    return show
