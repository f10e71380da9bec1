"""Notes of what runs: who is alive, who is waited for and how long, and what never ends a wait or a folder."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from threading import Timer

import pytest
from made import SPEC, searched

from lso_bench.executors import ExecutionOptions, Queue
from lso_bench.executors.serial import serial
from lso_bench.files.paths import own_folder
from lso_bench.models import training
from lso_bench.store import heartbeat, process_identity
from lso_bench.store.process_identity import Process, this_process
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, PlannedRun, Protocol, plan
from lso_bench.vae.trained_model import Model

KEY, OTHER = SPEC.key, "0123456789abcdef"
DAY = 24 * 3600


@pytest.fixture
def folder(tmp_path) -> Path:
    return Store(tmp_path / "r").folder


@pytest.fixture
def sleeper():
    """Another process of this machine, which lives."""
    child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"], stdout=-1)
    assert child.stdout is not None
    child.stdout.readline()
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def identity(pid: int) -> Process:
    return replace(this_process(), pid=pid, started=process_identity._state(pid)[1])


def leave(folder: Path, process: Process, key: str = KEY, age: float = 0.0, **fields) -> Path:
    """A note as that process left it, `age` seconds ago."""
    path = folder / "tmp" / f"{key or 'command'}.{process.host}.{process.pid}.json"
    path.write_text(json.dumps(asdict(heartbeat.Heartbeat("a run", key)) | asdict(process) | fields))
    os.utime(path, (time.time() - age,) * 2)
    return path


def queue(folder: Path, say=lambda line: None) -> Queue:
    return Queue([PlannedRun(SPEC, Path("none"))], Store(folder), say)


def test_a_process_is_itself_until_it_ends(sleeper):
    process = identity(sleeper.pid)
    assert this_process().gone is False and process.gone is False
    os.kill(sleeper.pid, signal.SIGSTOP)
    assert process.gone is False
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and its id is not free yet
    assert process.gone is True
    sleeper.wait()
    assert process.gone is True


@pytest.mark.parametrize("changed", [{"started": 1}, {"pid": 2**22 + 1}, {"pid": 2**70}])
def test_a_process_whose_id_another_has_now_is_gone(changed):
    assert replace(this_process(), **changed).gone is True


@pytest.mark.parametrize("changed", [{"boot": "b"}, {"space": "pid:[1]"}, {"host": "elsewhere"}])
def test_a_process_of_another_boot_container_or_machine_cannot_be_told_from_here(changed):
    assert replace(this_process(), pid=2**22 + 1, **changed).gone is None


def test_the_only_run_of_a_command_is_waited_for_while_another_does_it(tmp_path, checkpoint, sleeper):
    grid = Grid(["vae"], ["glyphs50:instances=1"], latent=4)
    planned, store, lines = plan(grid, Protocol(("random",), max_steps=1)), Store(tmp_path / "r"), list[str]()
    note = leave(store.folder, identity(sleeper.pid), planned[0].spec.key)

    def say(line):
        lines.append(line)
        note.unlink()

    (record,) = serial(planned, store, ExecutionOptions(say=say))
    assert record.status == "ok" and len(lines) == 1 and lines[0].startswith("Waiting for a run: process ")


def test_a_training_that_another_process_does_is_said_at_once_and_not_done_twice(tmp_path, capsys, sleeper):
    planned = training.plan(Model("vae", "glyphs", "conv", 4))
    path = own_folder() / planned.model.file
    (path.parent / "tmp").mkdir(parents=True)
    note = leave(path.parent, identity(sleeper.pid), hashlib.sha256(path.name.encode()).hexdigest()[:16])

    def end():
        path.write_text("of the other")
        note.unlink()

    Timer(0.5, end).start()
    assert training.train(planned, None, "cpu", True) == path and path.read_text() == "of the other"
    assert f"process {sleeper.pid} on " in capsys.readouterr().err and not [*path.parent.glob("tmp/*")]


def test_status_names_no_process_that_ended_before_its_end_where_another_did_its_run(call, tmp_path):
    store = Store(tmp_path / "r")
    record = searched({"random": [[9.0, 5.0]]})
    leave(store.folder, replace(this_process(), pid=2**22 + 1), record.spec.key)
    assert "ended before its end  a run" in call("status", "r").stdout
    store.add(record)
    assert call("status", "r").stdout == "r: 1 ok\n"


STALE = {  # notes of runs that nobody does any more, and the seconds since their last change
    "id dealt again": ({"started": 1}, 0),
    "id dealt again after a reboot": ({"boot": "b"}, heartbeat.SILENT),
    "id dealt again in a restarted container": ({"space": "pid:[1]"}, heartbeat.SILENT),
    "older version": ({"started": 0, "boot": "", "space": ""}, heartbeat.SILENT),
    "older version, a day ago": ({"started": 0, "boot": "", "space": ""}, DAY - 60),
    "ended": ({"pid": 2**22 + 1}, 0),
    "silent machine": ({"host": "elsewhere"}, heartbeat.SILENT),
}


@pytest.mark.parametrize("kind", STALE)
def test_a_run_that_nobody_does_any_more_is_begun_at_once(folder, kind):
    changed, age = STALE[kind]
    leave(folder, replace(this_process(), **changed), age=age)
    assert heartbeat.read(folder)[0] == [] and len(heartbeat.read(folder)[1]) == 1
    assert queue(folder).take() is not None


ALIVE = {
    "this machine": {},
    "container of that name": {"space": "pid:[1]"},
    "machine of that name": {"boot": "b"},
    "elsewhere": {"host": "elsewhere"},
    "older version": {"started": 0, "boot": "", "space": ""},
}


@pytest.mark.parametrize("age", [0, -DAY])  # the clock of that machine may be fast
@pytest.mark.parametrize("kind", ALIVE)
def test_a_run_that_others_do_is_waited_for_until_they_are_silent_by_our_clock(folder, kind, age, monkeypatch):
    leave(folder, replace(this_process(), **ALIVE[kind]), age=age)
    waiting, now = queue(folder), time.monotonic()
    for later in (0, heartbeat.SILENT - 1):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        assert waiting.take() is None
    monkeypatch.setattr(time, "monotonic", lambda: now + heartbeat.SILENT + 2)
    assert waiting.take() is not None


def test_signs_of_life_keep_others_waiting(folder, monkeypatch):
    path, waiting, now = leave(folder, this_process()), queue(folder), time.monotonic()
    for i in range(5):
        monkeypatch.setattr(time, "monotonic", lambda i=i: now + i * heartbeat.SILENT)
        os.utime(path, ns=(i, time.time_ns() + i))
        assert waiting.take() is None
    path.unlink()
    monkeypatch.setattr(time, "monotonic", lambda: now + 6 * heartbeat.SILENT)
    assert waiting.take() is not None


def test_a_run_gives_signs_of_life_while_a_step_takes_long_and_none_afterwards(folder, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT", 0.01)
    with heartbeat.heartbeat(folder, heartbeat.Heartbeat("slow", KEY)):
        (path,) = (folder / "tmp").iterdir()
        os.utime(path, (0, 0))
        until = time.monotonic() + 20
        while path.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        assert path.stat().st_mtime > 0
    assert not list((folder / "tmp").iterdir())


def test_a_wait_is_said_at_once_and_then_rarely_with_its_end_and_the_way_out(folder, monkeypatch):
    path, said = leave(folder, this_process(), title="vae · ink"), []
    waiting, now = queue(folder, said.append), time.monotonic()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    for tenths in range(1790):
        monkeypatch.setattr(time, "monotonic", lambda tenths=tenths: now + tenths / 10)
        assert waiting.take() is None
        waiting.wait()
        assert len(said) == (tenths >= 10) + (tenths >= 600) + (tenths >= 1200)
    assert len(set(said)) == 1
    for text in ("vae · ink", f"process {os.getpid()}", f"{heartbeat.SILENT:.0f} s", "Ctrl-C", str(path)):
        assert text in said[0]


@pytest.mark.parametrize(
    "text",
    ["[" * 30_000, '{"title": ', "[]", "null", '{"title": "a", "pid": "abc"}', '{"title": "a", "since": "abc"}',
     '{"title": "a", "key": "../../../victim"}', '{"title": "a", "more": 1}', "\x00" * 10, " " * 100_000],
    ids=range(10),
)  # fmt: skip
def test_a_file_that_is_no_note_is_passed_over(folder, text):
    (folder / "tmp" / "x.json").write_text(text)
    heartbeat.clear(folder)
    assert heartbeat.read(folder) == ([], []) and queue(folder).take() is not None
    assert (folder / "tmp" / "x.json").exists()


def test_only_notes_of_processes_that_are_gone_are_cleared(folder):
    ended = leave(folder, replace(this_process(), pid=2**22 + 1), OTHER)
    ended.with_suffix(".part").write_text("half")
    left = [leave(folder, replace(this_process(), **changes), OTHER) for changes in ({}, {"host": "elsewhere"})]
    with heartbeat.heartbeat(folder, heartbeat.Heartbeat("alive", KEY)) as note:
        note.update(3, 10)
        heartbeat.clear(folder)
        assert {r.key for r in heartbeat.read(folder)[0]} == {KEY, OTHER}
    assert sorted((folder / "tmp").iterdir()) == sorted(left)


def test_a_crafted_note_deletes_no_other_file(folder, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    name = f"data.{this_process().host}.{2**22 + 1}.json"
    (victim / name).write_text("precious")
    leave(folder, replace(this_process(), pid=2**22 + 1), "").write_text(
        json.dumps({"title": "x", "key": "../../victim/data", "host": this_process().host, "pid": 2**22 + 1})
    )
    heartbeat.clear(folder)
    assert (victim / name).read_text() == "precious"
