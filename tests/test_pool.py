"""Processes that do runs: no more than there is work, quiet ends, and none that outlives who wants its answers."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from multiprocessing import connection, forkserver, process
from pathlib import Path
from typing import Any

import pool_tasks
import psutil
import pytest
from made import SPEC

from lso_bench.errors import UnusableError
from lso_bench.executors import Attempt, ExecutionOptions, socket_names
from lso_bench.executors.local import PRELOAD
from lso_bench.executors.pool import Pool
from lso_bench.spec import Seeds
from lso_bench.study.grid import PlannedRun


def attempt(n: int) -> Attempt:
    """One that stands for a number."""
    return Attempt(PlannedRun(replace(SPEC, seeds=Seeds(n)), Path("none")))


def number(attempt: Attempt) -> int:
    return attempt.planned.spec.seeds.init


def pool(name: str, *arguments: str, **how: Any) -> Pool:
    function = getattr(pool_tasks, name)
    return Pool(ExecutionOptions(**how), lambda attempt, slot: (function, [number(attempt), *arguments]), PRELOAD)


def answers(pool: Pool, *numbers: int) -> dict[int, Any]:
    """Answers to the numbers, by number."""
    for n in numbers:
        pool.submit(attempt(n))
    ended: dict[int, Any] = {}
    while pool.busy:
        ended |= {number(done): answer for done, answer in pool.finished(0)}
    return ended


def begin(pool: Pool) -> None:
    """Let it do one thing, until a process does it."""
    pool.submit(attempt(1))
    while not any(w.attempt for w in pool._workers):
        assert list(pool.finished(0)) == []


def workers() -> list[psutil.Process]:
    """The processes that were forked for pools and live."""
    server = psutil.Process(forkserver._forkserver._forkserver_pid)
    return [p for p in server.children(recursive=True) if is_alive(p)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def all_ended() -> bool:
    """Tell whether no process is left; what was killed needs a moment on a busy machine."""
    return not psutil.wait_procs(workers(), timeout=30)[1]


@pytest.mark.parametrize(
    ("runs", "how", "least", "most"),
    [
        (2, {"jobs": 100_000}, 2, 2),
        (1, {"jobs": 16}, 1, 1),
        (4, {"jobs": 1}, 1, 3),
        (4, {"jobs": 2, "isolation": "batch"}, 2, 2),
    ],
)
def test_there_are_no_more_processes_than_runs_and_a_few_that_stand_ready(runs, how, least, most):
    tried, counts = pool("nap", **how), set[int]()
    for n in range(runs):
        tried.submit(attempt(n))
    while tried.busy:
        list(tried.finished(0))
        counts.add(sum(w.deadline is None or w.attempt is not None for w in tried._workers))
        assert len(workers()) <= most + runs  # with those that have done theirs and are about to be gone
    tried.stop()
    assert least <= max(counts) <= most and all_ended()


@pytest.mark.parametrize(
    ("name", "x", "why"),
    [
        ("end", 0, "its process ended without an answer"),
        ("end", 3, "its process ended with status 3"),
        ("close_everything", 0, "its process ended without an answer"),
        ("sleep", 0, "no end within the time limit, 0.5 s"),
        ("sleep_in_a_child", 0, "no end within the time limit, 0.5 s"),
    ],
)
def test_what_goes_wrong_with_a_process_is_said_of_its_run_alone(name, x, why):
    tried = pool(name, timeout=0.5 if "sleep" in name else None)
    assert answers(tried, x)[x].why == why
    tried.stop()
    assert all_ended()  # and any that the run had started


def test_runs_survive_the_death_of_the_process_that_theirs_were_forked_from(tmp_path):
    tried = pool("wait_for", str(tmp_path / "go"))
    begin(tried)
    os.kill(forkserver._forkserver._forkserver_pid or 0, signal.SIGKILL)
    assert list(tried.finished(0)) == list(tried.finished(0)) == []  # it is not taken for the end of the run
    (tmp_path / "go").touch()
    assert answers(tried, 2) == {1: 1, 2: 2}
    tried.stop()


def test_a_stopped_process_is_ended_with_the_pool():
    tried = pool("sleep")
    begin(tried)
    (child,) = (w.identity for w in tried._workers)
    os.kill(child.pid, signal.SIGSTOP)
    ((broken_off, lost),) = tried.stop()
    assert (number(broken_off), lost.pid) == (1, child.pid) and child.gone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGHUP])
def test_signals_of_a_terminal_are_for_the_command_alone(tmp_path, number):
    tried = pool("wait_for", str(tmp_path / "go"), jobs=2)
    begin(tried)
    for one in [psutil.Process(forkserver._forkserver._forkserver_pid), *workers()]:
        one.send_signal(number)
    (tmp_path / "go").touch()
    assert answers(tried, 2) == {1: 1, 2: 2}
    tried.stop()


QUIET = """
import os, signal, sys
from multiprocessing import forkserver, resource_tracker
from pool_tasks import *
from lso_bench.executors import Attempt, ExecutionOptions, pool

def task(attempt, slot):
    return square, [attempt.planned]

def begun():
    preload = ["lso_bench.executors.parent_death", "pool_tasks", "lso_bench.executors.pool"]
    made = pool.Pool(ExecutionOptions(jobs=2), task, preload)
    made.submit(Attempt(3))
    list(made.finished(9))  # they are forked, and none has begun
    assert len(made._workers) == 4 and made.busy
    return made

if __name__ == "__main__":
    first = begun()
    while first.busy:
        assert [a for _, a in first.finished(0)] in ([], [9])
    os.kill(resource_tracker._resource_tracker._pid, signal.SIGKILL)
    second = begun()
    first.stop()
    second.stop()
    begun()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_pools_that_end_while_processes_begin_say_nothing_and_leave_none(tmp_path):
    (tmp_path / "quiet.py").write_text(QUIET)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "SLOW_FORKS": "1"}
    command = [sys.executable, tmp_path / "quiet.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)  # all have ended
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")


def bind(long: Path) -> None:
    """Name a socket as multiprocessing does where temporary files lie in that folder."""
    tempfile.tempdir = str(long)
    process.current_process()._config.pop("tempdir", None)
    with socket_names.short_names():
        name = connection.arbitrary_address("AF_UNIX")
        assert tempfile.gettempdir() == str(long) or len(str(long)) > 71
    assert tempfile.gettempdir() == str(long)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
    shutil.rmtree(Path(name).parent)


@pytest.mark.parametrize("length", [60, 71, 72, 76, 110, 250])
def test_a_long_folder_of_temporary_files_stops_no_process(length):
    long = Path(tempfile.mkdtemp(prefix="x" * (length - len(tempfile.gettempdir()) - 9)))
    assert len(str(long)) == length
    child = os.fork()
    if not child:
        try:
            bind(long)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    long.rmdir()


def test_without_any_short_folder_it_is_said_how_to_mend_that(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(socket_names, "SHORT", tmp_path / "none")
    with pytest.raises(UnusableError, match=r"wanted at most \d+ bytes, got \d+ .*set a shorter TMPDIR"):
        socket_names.short_folder(32)
