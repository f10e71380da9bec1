"""Real kills, hangs and signals. Slow: `make faults`.

Where a study is killed many times, each command is a fork of one process that has imported torch, so that a start
costs no seconds. What is killed is the command itself, at any moment from its first line on; not the imports.
"""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from hashlib import sha256
from multiprocessing import forkserver
from pathlib import Path

import psutil
import pytest
from conftest import PROGRAM
from test_executors import faulty, numbers

from lso_bench.executors import How, machine
from lso_bench.executors.local import PRELOAD, local
from lso_bench.store import Store
from lso_bench.study import Grid, Protocol, plan

pytestmark = pytest.mark.faults
KILLS, RUNS = 100, 40
STUDY = (
    "run",
    "--model",
    "vae",
    "--task",
    "glyphs50:instances=2",
    "--latent",
    "4",
    "--max-steps",
    "3",
    "--device",
    "cpu",
)
ONCE = """def once(path):
    done = os.path.exists(path)
    open(path, "a").close()
    return done


@dataclass"""
SEEDS = ("--seed", ",".join(map(str, range(RUNS))))


def command(arguments: tuple[str, ...], folder: Path, checkpoints: Path) -> None:
    """The program with these arguments; its workers come from the process that this one came from."""
    from lso_bench.cli import main

    forkserver._forkserver.ensure_running = lambda: None  # it is, though not as a child of this process
    os.environ["LSO_BENCH_CHECKPOINTS"] = str(checkpoints)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.argv = ["lso-bench", *arguments, "--jobs", "2", "--results", str(folder)]
    main()


def started(folder: Path, checkpoints: Path):
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=command, args=((*STUDY, *SEEDS), folder, checkpoints))
    child.start()
    return child


def broken(folder: Path) -> list[str]:
    """Published runs whose files are not those that their result.json names."""
    found = []
    for run in folder.glob("runs/*/*"):
        named = json.loads((run / "result.json").read_text())["sha256"]
        if {n: sha256((run / n).read_bytes()).hexdigest() for n in named} != named:
            found.append(run.name)
    return found


def children(pid: int) -> list[psutil.Process]:
    """Those that live."""
    return [p for p in psutil.Process(pid).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def gone_within(seconds: float, left) -> bool:
    until = time.monotonic() + seconds
    while left() and time.monotonic() < until:
        time.sleep(0.02)
    return not left()


@pytest.mark.timeout(900)
def test_study_killed_at_random_moments_ends_as_an_undisturbed_one(checkpoint, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*PRELOAD, "lso_bench.cli"])
    forkserver.ensure_running()
    server = forkserver._forkserver._forkserver_pid
    calm = started(tmp_path / "calm", checkpoint.parent)
    calm.join()
    assert calm.exitcode == 0
    expected, rng, kills, midway, folders = numbers(Store(tmp_path / "calm")), random.Random(0), 0, 0, 0
    assert len(expected) == RUNS
    while kills < KILLS:
        folder, folders = tmp_path / f"killed{folders}", folders + 1
        while kills < KILLS and len(list(folder.glob("runs/*/*"))) < RUNS:
            child = started(folder, checkpoint.parent)
            time.sleep(rng.uniform(0.0, 1.2))
            midway += bool(list(folder.glob("tmp/*")))  # work was in progress
            assert child.pid is not None and child.is_alive()
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
            assert gone_within(2.0, lambda: children(server)), children(server)
            child.join()
            assert broken(folder) == []
        last = started(folder, checkpoint.parent)
        last.join()
        assert last.exitcode == 0 and numbers(Store(folder)) == expected
        assert not list(folder.glob("tmp/*.json"))
    print(f"{kills} kills, {midway} of them with runs in progress, {folders} studies of {RUNS} runs")


def test_process_that_dies_once_is_replaced_and_one_that_always_dies_is_named(call, checkpoint, tmp_path):
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
    done = call("run", "--model", "vae", "--task", tasks, *limits)
    assert done.returncode == 3 and "Traceback" not in done.stderr, done.stderr
    found = {Path(r.spec.task.partition(":")[0]).stem: r for r in Store(tmp_path / "results")}
    assert {n: r.status for n, r in found.items()} == {
        "time_sleep": "timeout",
        "os_kill": "failed",
        "once": "ok",
        "glyphs50": "ok",
    }
    killed = "its process was killed by SIGKILL"
    assert found["os_kill"].error == f"{killed}; tries: 3" and found["os_kill"].versions["deaths"] == [killed] * 3
    assert found["once"].versions["deaths"] == [killed] and "deaths" not in found["glyphs50"].versions


def popen(tmp_path, checkpoint, *more):
    environment = os.environ | {"LSO_BENCH_CHECKPOINTS": str(checkpoint.parent)}
    given = {"cwd": tmp_path, "env": environment, "stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([*PROGRAM, *STUDY, *more], start_new_session=True, **given)


def test_two_commands_on_one_folder_publish_every_run_once(checkpoint, tmp_path):
    two = [popen(tmp_path, checkpoint, "--seed", "0,1,2,3,4,5,6,7") for _ in range(2)]
    errors = [child.communicate(timeout=120)[1] for child in two]
    assert [child.returncode for child in two] == [0, 0], errors
    assert len(numbers(Store(tmp_path / "results"))) == 8 and not broken(tmp_path / "results")
    assert not list((tmp_path / "results" / "tmp").iterdir())


@pytest.mark.parametrize(("number", "times", "status"), [("SIGINT", 1, 130), ("SIGINT", 2, 130), ("SIGTERM", 1, 143)])
def test_signal_ends_a_study_and_leaves_no_process(checkpoint, tmp_path, number, times, status):
    hangs = faulty(tmp_path, "time.sleep(600)")
    child = popen(tmp_path, checkpoint, "--task", f"{hangs},glyphs50:instances=2", "--seed", "0,1,2")
    until = time.monotonic() + 60
    while not [p for p in tmp_path.glob("results/tmp/*.json") if "command" not in p.name]:
        assert time.monotonic() < until and child.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    group = {p.pid for p in psutil.process_iter() if _session(p) == child.pid}
    assert len(group) > 3  # the command, two or more of its processes, and the one that they come from
    for _ in range(times):
        os.killpg(child.pid, signal.Signals[number]) if number == "SIGINT" else child.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == status and "The same command goes on from there" in errors, errors
    assert "Traceback" not in errors
    left = lambda: [p.pid for p in psutil.process_iter() if _session(p) == child.pid]  # noqa: E731
    assert gone_within(2.0, left), left()


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid) if process.status() != psutil.STATUS_ZOMBIE or process.ppid() != 1 else 0
    except (OSError, psutil.NoSuchProcess):
        return 0


def test_busy_machine_slows_a_run_by_less_than_three_times(checkpoint, tmp_path):
    planned = plan(Grid(["vae"], ["glyphs50"], seeds=range(3), latent=4), Protocol(max_steps=20))
    how = How(threads=machine.cores())  # the most that a run is ever given

    def fastest(name: str) -> float:
        return min(r.seconds["total"] for r in local(planned, Store(tmp_path / name), how))

    calm = fastest("calm")
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        assert fastest("busy") < 3 * calm
    finally:
        for child in busy:
            child.kill()
            child.wait()
