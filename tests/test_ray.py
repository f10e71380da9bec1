"""Runs on a Ray cluster: the same records, and nothing lost when workers, machines or the command die. `make faults`.

The cluster's second machine is a second raylet on this one, which takes a kill like a machine that fails.
"""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import psutil
import pytest
from conftest import fails
from forked import prepare, program
from test_executors import faulty, numbers
from test_faults import SLOW, STUDY, TASK, any_of, broken, some_run, within

from lso_bench.errors import UnusableError, UsageError
from lso_bench.executors import ExecutionOptions
from lso_bench.executors.ray_cluster import cluster
from lso_bench.executors.ray_connection import ENVIRONMENT
from lso_bench.executors.remote_worker import Job, Worker
from lso_bench.executors.serial import serial
from lso_bench.runner.placement import Placement
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, Protocol, plan
from lso_bench.vae import data

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (lso-bench[ray])")
TOKEN = "a token of these tests"
RUNS = 30  # many enough that a second machine takes some
SMALL = {"num_cpus": 1, "object_store_memory": 100_000_000}  # a machine
SOON = {"health_check_period_ms": 500, "health_check_failure_threshold": 20, "health_check_initial_delay_ms": 500}


@pytest.fixture(scope="module")
def head():
    """A cluster of one machine with one core, and a token."""
    os.environ |= ENVIRONMENT | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    from ray.cluster_utils import Cluster

    machine = Cluster(initialize_head=True, head_node_args=SMALL | {"include_dashboard": False, "_system_config": SOON})
    yield machine
    machine.shutdown()


def planned_of(*tasks: str, runs: int = 1):
    return plan(Grid(["vae"], list(tasks), seeds=range(runs), latent=4), Protocol(max_steps=3))


def works_under(raylet: int, folder: Path) -> bool:
    """Tell whether a process of that machine does a run at the moment."""
    pids = [r.pid for r in heartbeat.read(folder)[0] if r.key]
    return any(raylet in [p.pid for p in psutil.Process(pid).parents()] for pid in pids)


def power_off(raylet: int) -> None:
    """Everything on that machine dies."""
    machine = psutil.Process(raylet)
    for process in (machine, *machine.children(recursive=True)):
        process.kill()


def sessions() -> set[Path]:
    """Folders in which Ray keeps what it writes about its clusters."""
    temporary = Path(tempfile.gettempdir())
    return {*temporary.glob("ray/session_*"), *temporary.glob("lso-bench-ray-*")}


def times(folder: Path) -> dict[str, int]:
    """Times at which the runs were published."""
    return {p.parent.name: p.stat().st_mtime_ns for p in folder.glob("runs/*/*/result.json")}


@pytest.mark.faults
@needs_ray
def test_cluster_of_our_own_gives_the_same_records_and_ends(head, checkpoint, tmp_path):
    planned, expected, store = (
        planned_of("glyphs50:instances=2", runs=4),
        Store(tmp_path / "here"),
        Store(tmp_path / "r"),
    )
    list(serial(planned, expected, ExecutionOptions()))
    before, folders = {p.pid for p in psutil.process_iter()}, sessions()
    records = list(cluster(planned, store, ExecutionOptions(address="local", jobs=1, isolation="batch")))
    assert [r.status for r in records] == ["ok"] * 4 and {r.versions["isolation"] for r in records} == {"batch"}
    assert numbers(store) == numbers(expected) and not broken(store.folder)
    assert not list((store.folder / "tmp").iterdir())
    left = lambda: [p for p in psutil.process_iter(["name"]) if p.pid not in before and "ray" in p.info["name"]]  # noqa: E731
    assert within(SLOW, lambda: not left()), left()
    assert sessions() == folders


@pytest.mark.faults
@needs_ray
def test_machine_killed_midway_loses_nothing_and_nothing_runs_twice(head, checkpoint, tmp_path):
    raylet = head.add_node(**SMALL).all_processes["raylet"][0].process.pid
    planned, store = planned_of(faulty(tmp_path, "time.sleep(0.3)"), runs=RUNS), Store(tmp_path / "results")
    records, finished = [], {}
    for record in cluster(planned, store, ExecutionOptions(jobs=0, address=head.address, isolation="batch", retries=2)):
        records.append(record)
        if not finished and len(records) >= 2 and works_under(raylet, store.folder):
            finished = times(store.folder)
            power_off(raylet)
    assert [r.status for r in records] == ["ok"] * RUNS and len({r.spec.key for r in records}) == RUNS
    assert len(finished) >= 2 and finished.items() <= times(store.folder).items()
    deaths = [r.versions["deaths"] for r in records if "deaths" in r.versions]
    assert len(deaths) == 1, deaths  # what ran there was done again, elsewhere, and says why
    print(deaths, f"{len(finished)} of {RUNS} runs were done before the kill")
    assert not list((store.folder / "tmp").iterdir())


@pytest.mark.faults
@needs_ray
def test_worker_that_dies_or_hangs_is_replaced_and_its_run_named(head, checkpoint, tmp_path, capfd):
    hangs, dies = faulty(tmp_path, "time.sleep(600)"), faulty(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    planned, store = planned_of(hangs, dies, "glyphs50:instances=2"), Store(tmp_path / "results")
    data.load("glyphs")  # which takes a while the first time
    how = ExecutionOptions(address=head.address, isolation="batch", timeout=30.0, retries=1)
    by_task = {Path(r.spec.task.partition(":")[0]).stem: r for r in cluster(planned, store, how)}
    assert {n: r.status for n, r in by_task.items()} == {"time_sleep": "timeout", "os_kill": "failed", "glyphs50": "ok"}
    assert capfd.readouterr() == ("", "")  # the caller says a line for each record, and Ray nothing
    assert by_task["os_kill"].error == "its process died; tries: 2" and "30 s" in (by_task["time_sleep"].error or "")
    assert not list((store.folder / "tmp").iterdir())


@pytest.mark.faults
@needs_ray
@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self is another folder in every process, on Linux")
def test_worker_that_sees_no_file_of_ours_gives_the_same_records(head, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Path(faulty(tmp_path, "pass")).name
    monkeypatch.setenv("LSO_BENCH_CHECKPOINTS", "/proc/self/cwd/checkpoints")
    expected, store = Store(tmp_path / "here"), Store(Path("/proc/self/cwd/there"))
    planned = planned_of(f"./{task}", runs=2)
    list(serial(planned, expected, ExecutionOptions()))
    records = list(cluster(planned, store, ExecutionOptions(address=head.address, isolation="batch")))
    assert [r.status for r in records] == ["ok"] * 2
    assert numbers(store) == numbers(expected) and not broken(store.folder)


@pytest.mark.faults
@needs_ray
def test_command_killed_and_given_again_does_only_what_is_missing(head, checkpoint, tmp_path):
    prepare()
    slow, folder, runs = faulty(tmp_path, "time.sleep(0.3)"), tmp_path / "results", 12
    seeds = ",".join(map(str, range(runs)))
    options = ("--task", slow, "--seed", seeds, "--results", str(folder), "--executor", "ray")
    options += ("--address", head.address)
    first = program(*STUDY, *options, LSO_BENCH_CHECKPOINTS=str(checkpoint.parent))
    assert within(SLOW, lambda: len(times(folder)) >= 2)
    os.kill(first.pid or 0, signal.SIGKILL)
    first.join()
    assert within(SLOW, lambda: not some_run(folder))  # a run that is being published is
    finished = times(folder)
    assert 2 <= len(finished) < runs
    again = program(*STUDY, *options, LSO_BENCH_CHECKPOINTS=str(checkpoint.parent))
    again.join()
    assert again.exitcode == 0 and finished.items() <= times(folder).items()
    assert len(times(folder)) == runs and not any_of(folder, "tmp/*.json")


@pytest.mark.faults
@needs_ray
def test_signal_ends_the_command_and_its_workers(head, checkpoint, tmp_path):
    prepare()
    hangs, folder = faulty(tmp_path, "time.sleep(600)"), tmp_path / "results"
    options = ("--task", hangs, "--results", str(folder), "--executor", "ray", "--address", head.address)
    command = program(*STUDY, *options, LSO_BENCH_CHECKPOINTS=str(checkpoint.parent))
    assert within(SLOW, lambda: any(r.key for r in heartbeat.read(folder)[0]))
    (worker,) = [r.pid for r in heartbeat.read(folder)[0] if r.key]
    os.kill(command.pid or 0, signal.SIGINT)
    command.join()
    assert command.exitcode == 130 and not any_of(folder, "tmp/*")
    assert within(SLOW, lambda: not psutil.pid_exists(worker))


@pytest.mark.faults
@needs_ray
def test_wrong_token_is_one_line(head, checkpoint, call_fresh):
    done = call_fresh(
        *STUDY,
        *TASK,
        "--executor",
        "ray",
        "--address",
        head.address,
        env=os.environ | {"RAY_AUTH_TOKEN": "wrong", "RAY_NUM_REDIS_GET_RETRIES": "2"},
    )
    fails(done, 4, head.address, "token is missing or wrong", "RAY_AUTH_TOKEN")


def work_until_ended(planned, marker: Path) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does
    worker = Worker()
    worker.handshake(marker, 1, None)
    worker.run(Job(planned, Placement(), {}, {}))


def test_worker_that_is_ended_while_a_plugin_works_publishes_nothing(checkpoint, tmp_path):
    (planned,) = planned_of(faulty(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)"))
    store = Store(tmp_path / "results")
    (marker := store.folder / "tmp" / "shared").mkdir()
    child = multiprocessing.get_context("fork").Process(target=work_until_ended, args=(planned, marker))
    child.start()
    child.join()
    assert child.exitcode == 143 and not [*store.folder.glob("runs/*/*")]


def greet(server: socket.socket) -> None:
    """Once, as a mail server does."""
    with server.accept()[0] as opened:
        opened.sendall(b"220 mail.example\r\n")
        opened.recv(100)


@needs_ray
def test_address_where_nothing_answers_is_told_at_once(planned_one, tmp_path):
    with pytest.raises(UnusableError, match=r"Nothing answers at 127\.0\.0\.1:1 "):
        list(cluster(planned_one, Store(tmp_path / "results"), ExecutionOptions(address="127.0.0.1:1")))
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=greet, args=[server]).start()
        with pytest.raises(UnusableError, match="is no Ray cluster"):
            list(
                cluster(
                    planned_one,
                    Store(tmp_path / "results"),
                    ExecutionOptions(address=f"127.0.0.1:{server.getsockname()[1]}"),
                )
            )
    with pytest.raises(UsageError, match="wants local, auto, HOST:PORT or ray://HOST:PORT; got 'head'"):
        list(cluster(planned_one, Store(tmp_path / "results"), ExecutionOptions(address="head")))


def test_without_ray_it_is_told_how_to_install_it(planned_one, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'lso-bench\[ray\]'"):
        list(cluster(planned_one, Store(tmp_path / "results"), ExecutionOptions(address="local")))


@pytest.fixture
def planned_one(checkpoint):
    return planned_of("glyphs50:instances=2")
