"""Notes of what runs, which anybody may have put into a results folder: shown, obeyed by nobody, no way out of it."""

import io
import json
import os
import socket
import sys
import time
from dataclasses import asdict
from threading import Event

import pytest
from test_hostile import HOSTILE, OBEYED

from lso_bench import progress
from lso_bench.store import heartbeat
from lso_bench.store.heartbeat import Heartbeat
from lso_bench.store.process_identity import this_process
from lso_bench.store.results_folder import MARKER_FILE
from lso_bench.store.store import Store

KEY, GONE = "0123456789abcdef", 2**22 + 1
HERE = asdict(this_process())
DEAD = Heartbeat("ended", KEY, 1, 2, **HERE | {"pid": GONE})


@pytest.fixture
def folder(tmp_path):
    return Store(tmp_path / "r").folder


def note(folder, name, **values):
    path = folder / "tmp" / name
    path.write_text(json.dumps(asdict(DEAD) | values))
    return path


OUTSIDE = ["../../victim/data", "../victim", "/victim", "a/b", "..", "../tmp/other"]


@pytest.mark.parametrize("field", ["key", "host"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_note_that_names_another_file_removes_none_but_itself(folder, tmp_path, monkeypatch, field, name):
    host = DEAD.host if field == "key" else name
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    victim = tmp_path / "victim" / f"data.{host}.{GONE}.json".replace("/", "_")
    victim.parent.mkdir()
    victim.write_text("mine")
    written = note(folder, "x.json", **{"host": host, field: name})
    before = set(tmp_path.rglob("*"))
    heartbeat.clear(folder)
    assert before - set(tmp_path.rglob("*")) <= {written}


def test_notes_of_processes_that_are_gone_are_removed_and_others_stay(folder):
    gone = note(folder, f"{KEY}.{DEAD.host}.{GONE}.json")
    command = note(folder, f"command.{DEAD.host}.{GONE}.json", key="")
    alive = note(folder, f"{KEY}.{DEAD.host}.{os.getpid()}.json", **HERE)
    heartbeat.clear(folder)
    assert [p.exists() for p in (gone, command, alive)] == [False, False, True]


def test_note_that_nobody_may_remove_hinders_nothing(folder, monkeypatch):
    def refused(path):
        raise PermissionError(1, "Operation not permitted")

    gone = note(folder, f"{KEY}.{DEAD.host}.{GONE}.json")
    monkeypatch.setattr(os, "unlink", refused)
    heartbeat.clear(folder)
    with heartbeat.heartbeat(folder, Heartbeat("runs")):
        assert len([r for r in heartbeat.read(folder)[0] if r.title == "runs"]) == 1
    assert gone.exists()


def test_work_in_progress_is_never_swept_through_a_link(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("mine")
    os.utime(tmp_path / "home" / "thesis.tex", (0, 0))
    folder = Store(tmp_path / "r").folder
    (folder / "tmp").rmdir()
    (folder / "tmp").symlink_to(tmp_path / "home")
    Store(folder)
    assert (tmp_path / "home" / "thesis.tex").exists() and (folder / MARKER_FILE).exists()


WRONG = {
    "a list": [],
    "a text": "x",
    "a number": 1,
    "nested": json.loads("[" * 500 + "]" * 500),
    **{f"{k} {v!r}": asdict(DEAD) | {k: v} for k in ("key", "title", "state", "host") for v in (None, 1, [], {})},
    **{f"{k} {v!r}": asdict(DEAD) | {k: v} for k in ("pid", "done", "since") for v in (None, "abc", [], True, -1)},
    "a huge number": asdict(DEAD) | {"total": 10**400},
    "no whole number": asdict(DEAD) | {"pid": 0.5},
    "without end": asdict(DEAD) | {"since": float("inf")},
    "one more": asdict(DEAD) | {"more": 1},
    "no title": {k: v for k, v in asdict(DEAD).items() if k != "title"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_note_of_other_values_is_passed_over(folder, wrong):
    (folder / "tmp" / f"{KEY}.{DEAD.host}.{GONE}.json").write_text(json.dumps(WRONG[wrong]))
    assert heartbeat.read(folder) == ([], [])
    heartbeat.clear(folder)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self):
        return True


def terminal(monkeypatch):
    """A wide one in place of stderr."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "300")
    return stream


NAMES = HOSTILE | {"closing": "x[/b]", "braces": "{task.fields}", "link": "[link=http://evil]y[/link]"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_bars_show_a_hostile_note_and_obey_nothing(folder, monkeypatch, name):
    shown, stream = Event(), terminal(monkeypatch)
    note(folder, f"{KEY}.{DEAD.host}.{os.getpid()}.json", **HERE, title=name, state=name)

    class Bar(progress._RunBars):
        def show(self, runs):
            super().show(runs)
            shown.set()

    monkeypatch.setattr(progress, "_RunBars", Bar)
    monkeypatch.setattr(progress, "LOOK", 0.01)
    with progress.study_progress(False, folder, {KEY}):
        assert shown.wait(20)
    obeyed_by_nobody(stream.getvalue(), name)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_bar_of_one_piece_of_work_shows_a_hostile_name_and_obeys_nothing(monkeypatch, name):
    stream = terminal(monkeypatch)
    with progress.progress_display(False) as show:
        show(name, 1, 2, name)
    obeyed_by_nobody(stream.getvalue(), name)


def obeyed_by_nobody(shown, name):
    """Nothing of the name is left but what can be seen; the codes are those of the bar itself."""
    assert "\x1b]" not in shown and not (OBEYED - {"\x1b", "\r"}) & set(shown)
    assert "\x1b[31mred" not in shown
    if name.isprintable() and len(name) < 60:
        assert name in shown


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_lines_of_progress_obey_nothing(monkeypatch, name):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "EVERY", -1.0)
    with progress.progress_display(False) as show:
        show(name, 1, 2, name)
    assert stream.getvalue().count("\n") == 1 and not OBEYED & set(stream.getvalue())


def test_studies_tell_of_their_runs_also_without_a_terminal(folder, monkeypatch):
    """A first line within two seconds, and none while the caller prints its own."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "LOOK", 0.01)
    assert progress.MOMENT < 2 and progress.EVERY <= 10
    monkeypatch.setattr(progress, "MOMENT", 0.0)
    note(folder, f"{KEY}.{DEAD.host}.{os.getpid()}.json", **HERE, title="vae · ink", state="", done=3, total=9)
    with progress.study_progress(False, folder, {KEY, "another"}):
        until(lambda: stream.getvalue())
    assert stream.getvalue() == "0 of 2 runs done; vae · ink: 3/9\n"
    with progress.study_progress(True, folder, {KEY, "another"}):
        time.sleep(0.1)
    assert stream.getvalue().count("\n") == 1
    with progress.study_progress(False, folder, {KEY, "another"}, {KEY: "vae · ink · lr 0.2"}):
        until(lambda: stream.getvalue().count("\n") == 2)
    assert stream.getvalue().endswith("; vae · ink · lr 0.2: 3/9\n")


def until(holds, seconds=20.0):
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
