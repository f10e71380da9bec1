"""Real kills, hangs and signals. Slow: `make faults`.

Where a study is killed many times, each command is a fork of one process that has imported torch, so that a start
costs no seconds. What is killed is the command itself, at any moment from its first line on; not the imports.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path

import psutil
import pytest
from conftest import PROGRAM
from forked import prepare, program
from test_executors import faulty, numbers

from lso_bench.executors import ExecutionOptions, resources
from lso_bench.executors.local import local
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.vae import data

pytestmark = pytest.mark.faults
KILLS, RUNS = 100, 24
SLOW = 120.0  # seconds that anything may take on a machine that is busy otherwise
STUDY = ("run", "--model", "vae", "--latent", "4", "--max-steps", "3", "--device", "cpu", "--no-pictures")
TASK = ("--task", "glyphs50:instances=2")
ONCE = """def once(path):
    done = os.path.exists(path)
    open(path, "a").close()
    return done


@dataclass"""


def broken(folder: Path) -> list[str]:
    """Published runs whose files are not those that their result.json names."""
    names = []
    for run in folder.glob("runs/*/*"):
        named = json.loads((run / "result.json").read_text())["sha256"]
        if {n: sha256((run / n).read_bytes()).hexdigest() for n in named} != named:
            names.append(run.name)
    return names


def any_of(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


def some_run(folder: Path) -> bool:
    """Tell whether a run is in progress."""
    return any(r.key for r in heartbeat.read(folder)[0])


def children(pid: int) -> list[psutil.Process]:
    """Processes below this one that live."""
    processes = []
    for p in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since
            processes += [p] if p.status() != psutil.STATUS_ZOMBIE else []
    return processes


def within(seconds: float, holds) -> bool:
    """Tell whether a condition holds at any moment before so many seconds are over.

    It is not asked again once it has held: a process that a killed command had asked for may begin, and end, after it.
    """
    until = time.monotonic() + seconds
    while not (held := bool(holds())) and time.monotonic() < until:
        time.sleep(0.02)
    return held


@pytest.mark.timeout(900)
def test_study_killed_at_random_moments_ends_as_an_undisturbed_one(checkpoint, tmp_path):
    server, rng, kills, midway, folders = prepare(), random.Random(0), 0, 0, 0

    def study(name: str):
        options = ("--seed", ",".join(map(str, range(RUNS))), "--jobs", "2", "--results", str(tmp_path / name))
        return program(*STUDY, *TASK, *options, LSO_BENCH_CHECKPOINTS=str(checkpoint.parent))

    def ended(name: str) -> dict:
        child = study(name)
        child.join()
        assert child.exitcode == 0 and not list(tmp_path.glob(f"{name}/tmp/*.json"))
        return numbers(Store(tmp_path / name))

    expected = ended("calm")
    assert len(expected) == RUNS
    times = [p.stat().st_mtime for p in tmp_path.glob("calm/runs/*/*/result.json")]
    pace = (max(times) - min(times)) / RUNS
    while kills < KILLS:
        name, folders = f"killed{folders}", folders + 1
        while kills < KILLS and len(list(tmp_path.glob(f"{name}/runs/*/*"))) < RUNS:
            child = study(name)
            begun = (
                partial(some_run, tmp_path / name) if kills % 5 else partial(any_of, tmp_path / name, "tmp/command.*")
            )
            assert within(SLOW, lambda child=child, begun=begun: begun() or not child.is_alive())
            time.sleep(rng.uniform(0.0, 2 * pace))
            runs = some_run(tmp_path / name)
            with suppress(ProcessLookupError):  # it was done before
                os.kill(child.pid or 0, signal.SIGKILL)
                kills, midway = kills + 1, midway + runs
            assert within(SLOW, lambda: not children(server)), children(server)
            child.join()
            assert broken(tmp_path / name) == []
        assert ended(name) == expected
    assert midway > KILLS / 2
    print(f"{kills} kills, {midway} of them while runs were in progress, of {folders} studies of {RUNS} runs")


@pytest.mark.timeout(900)
def test_process_that_dies_once_is_replaced_and_one_that_always_dies_is_named(call_fresh, checkpoint, tmp_path):
    data.load("glyphs")  # which takes a while the first time
    dies = "os.kill(os.getpid(), signal.SIGKILL)"
    once = faulty(tmp_path, f"once('{tmp_path}/died') or {dies}")
    text = Path(once).read_text().replace("@dataclass", ONCE)
    Path(once).write_text(text)
    hangs = faulty(tmp_path, "time.sleep(600)")
    always = faulty(tmp_path, dies)
    tasks = f"{hangs},{always},{once},glyphs50:instances=2"
    limits = (
        "--latent",
        "4",
        "--max-steps",
        "2",
        "--device",
        "cpu",
        "--jobs",
        "1",
        "--timeout",
        "20",
        "--retries",
        "2",
    )
    done = call_fresh("run", "--model", "vae", "--task", tasks, *limits, timeout=5 * SLOW)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    by_task = {Path(r.spec.task.partition(":")[0]).stem: r for r in Store(tmp_path / "results")}
    assert {n: r.status for n, r in by_task.items()} == {
        "time_sleep": "timeout",
        "os_kill": "failed",
        "once": "ok",
        "glyphs50": "ok",
    }
    killed = "its process was killed by SIGKILL"
    assert by_task["os_kill"].error == f"{killed}; tries: 3" and by_task["os_kill"].versions["deaths"] == "; ".join(
        [killed] * 3
    )
    assert by_task["once"].versions["deaths"] == killed and "deaths" not in by_task["glyphs50"].versions


def popen(tmp_path, checkpoint, *options):
    environment = os.environ | {"LSO_BENCH_CHECKPOINTS": str(checkpoint.parent)}
    setup = {"cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([*PROGRAM, *STUDY, *options], start_new_session=True, **setup)


@pytest.mark.timeout(900)
def test_two_commands_on_one_folder_publish_every_run_once(checkpoint, tmp_path):
    two = [popen(tmp_path, checkpoint, *TASK, "--seed", "0,1,2,3,4,5,6,7") for _ in range(2)]
    errors = [child.communicate(timeout=2 * SLOW)[1] for child in two]
    assert [child.returncode for child in two] == [0, 0], errors
    assert len(numbers(Store(tmp_path / "results"))) == 8 and not broken(tmp_path / "results")
    assert not list((tmp_path / "results" / "tmp").iterdir())


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("number", "times", "status"),
    [("SIGINT", 1, 130), ("SIGINT", 2, 130), ("SIGTERM", 1, 143), ("SIGHUP", 1, 129), ("SIGQUIT", 1, 131)],
)
def test_signal_ends_a_study_and_leaves_no_process(checkpoint, tmp_path, number, times, status):
    hangs = faulty(tmp_path, "time.sleep(600)")
    child = popen(tmp_path, checkpoint, "--task", f"{hangs},glyphs50:instances=2", "--seed", "0,1,2")
    assert within(SLOW, lambda: [p for p in tmp_path.glob("results/tmp/*.json") if "command" not in p.name])

    def left() -> list[int]:
        return [p.pid for p in psutil.process_iter() if _session(p) == child.pid]

    assert within(
        SLOW, lambda: len(left()) > 3
    )  # the command, two or more of its processes, and the one that they come from
    for _ in range(times):
        child.send_signal(signal.SIGTERM) if number == "SIGTERM" else os.killpg(child.pid, signal.Signals[number])
        time.sleep(0.05)
    _, errors = child.communicate(timeout=SLOW)
    assert child.returncode == status and "The same command goes on from there" in errors, errors
    assert "Traceback" not in errors
    assert within(SLOW, lambda: not left()), left()
    assert not list(tmp_path.glob("results/tmp/*")) or times == 2
    assert not left()  # nor has any begun since


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE or process.ppid() != 1 else 0
    except (OSError, psutil.NoSuchProcess):
        return 0


def test_busy_machine_slows_a_run_by_far_less_than_threads_that_spin(checkpoint, tmp_path):
    planned = plan(Grid(["vae"], ["glyphs50"], seeds=range(3), latent=4), Protocol(max_steps=20))
    how = ExecutionOptions(threads=resources.cores())  # the most that a run is ever given

    def fastest(name: str) -> float:
        return min(r.seconds["total"] for r in local(planned, Store(tmp_path / name), how))

    calm = fastest("calm")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert fastest("busy") < 10 * calm  # twice is fair; threads that spin are slowed 35 to 90 times
    finally:
        for child in busy:
            child.kill()
            child.wait()
