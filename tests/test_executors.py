"""Executors: the same records from each, and what goes wrong with one run is its own record."""

import json
import os
import resource
import threading
from pathlib import Path

import pytest
from conftest import NOISE, TINY, random_vae

from lso_bench.executors import ExecutionOptions, Queue, resources
from lso_bench.executors.local import local
from lso_bench.executors.serial import serial
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.placement import Placement
from lso_bench.store import heartbeat
from lso_bench.store.store import Store, counted
from lso_bench.study.estimate import estimate
from lso_bench.study.grid import Grid, Protocol, plan, shard
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.trained_model import Model

FAULTY = """import os, signal, sys, time
from dataclasses import dataclass
from lso_bench.tasks.reconstruction import Reconstruction

@dataclass(frozen=True)
class Faulty(Reconstruction):
    "Goes wrong."
    data: str = "glyphs"
    instances: int = 2
    variants = {}

    def score(self, x):
        ...
        return super().score(x)
"""


@pytest.fixture
def planned(checkpoint):
    return plan(Grid(["vae"], ["glyphs50:instances=2"], seeds=range(4), latent=4), Protocol(max_steps=3))


def numbers(store: Store) -> dict[str, object]:
    """Results of each run, and the hashes of its files but for the seconds."""
    results = {}
    for path in store.folder.glob("runs/*/*/result.json"):
        raw = json.loads(path.read_text())
        hashes = {k: v for k, v in raw["sha256"].items() if k != "costs.csv"}
        results[path.parent.name] = raw["spec"], raw["status"], raw["members"], raw["counts"], hashes
    return results


def faulty(folder, does: str) -> str:
    path = folder / f"{does.split('(')[0].replace('.', '_')}.py"
    path.write_text(FAULTY.replace("...", does))
    return str(path)


def test_all_executors_give_the_same_records(planned, tmp_path):
    stores = {n: Store(tmp_path / n) for n in ("none", "run", "batch", "one", "two")}
    records = list(serial(planned, stores["none"], ExecutionOptions()))
    for isolation in ("run", "batch"):
        records += local(planned, stores[isolation], ExecutionOptions(jobs=2, isolation=isolation))
    for part, name in (("1/2", "one"), ("2/2", "two")):
        records += local(shard(planned, part), stores[name], ExecutionOptions(isolation="batch"))
    assert [r.status for r in records] == ["ok"] * 16
    expected = numbers(stores["none"])
    assert len(expected) == 4 and numbers(stores["run"]) == numbers(stores["batch"]) == expected
    apart = numbers(stores["one"]), numbers(stores["two"])
    assert apart[0] | apart[1] == expected and not apart[0].keys() & apart[1].keys()
    for name in ("none", "run", "batch"):
        assert {r.versions["isolation"] for r in stores[name]} == {name}
        assert not list((tmp_path / name / "tmp").iterdir())


def test_parts_copied_into_one_folder_are_the_whole_study(planned, tmp_path):
    both = Store(tmp_path / "both")
    for part in ("1/3", "2/3", "3/3"):
        store = Store(tmp_path / part[0])
        list(serial(shard(planned, part), store, ExecutionOptions()))
        for run in store.folder.glob("runs/*/*"):
            run.rename(_with_folder(both.folder / run.relative_to(store.folder)))
    assert all(p.spec in both for p in planned) and len(list(both)) == 4
    assert not both.skipped


def _with_folder(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_run_that_hangs_is_a_timeout_and_its_slot_is_used_again(checkpoint, tmp_path):
    hangs, leaves = faulty(tmp_path, "time.sleep(600)"), faulty(tmp_path, "sys.exit(0)")
    planned = plan(Grid(["vae"], [hangs, leaves, "glyphs50:instances=2"], latent=4), Protocol(max_steps=2))
    list(
        serial(planned[2:], Store(tmp_path / "before"), ExecutionOptions())
    )  # glyphs are rendered once, which takes a while
    store = Store(tmp_path / "results")
    records = list(local(planned, store, ExecutionOptions(timeout=8.0)))
    assert [r.status for r in records] == ["timeout", "failed", "ok"]
    assert "time limit, 8 s" in (records[0].error or "") and "SystemExit" in (records[1].error or "")
    assert [p.spec in store for p in planned] == [False, False, True]  # the others may be tried again
    assert counted(store.standings()) == {"failed": 1, "ok": 1, "timeout": 1}


@pytest.mark.parametrize("isolation", ["run", "batch"])
def test_process_that_ends_without_an_answer_is_tried_again_and_then_named(checkpoint, tmp_path, isolation):
    leaves = faulty(tmp_path, "os._exit(0)")  # as a library in C may
    planned = plan(Grid(["vae"], [leaves, "glyphs50:instances=2"], latent=4), Protocol(max_steps=2))
    records = local(planned, Store(tmp_path / "results"), ExecutionOptions(isolation=isolation))
    by_task = {r.spec.task.partition(":")[0]: r for r in records}
    assert by_task.pop("glyphs50").status == "ok"
    (left,) = by_task.values()
    assert (left.status, left.error) == ("failed", "its process ended without an answer; tries: 2")


def test_run_that_takes_too_much_memory_fails_and_says_so(checkpoint, tmp_path):
    greedy = faulty(tmp_path, "x.new_zeros(2**32)")
    planned = plan(Grid(["vae"], [greedy], latent=4), Protocol(max_steps=2))
    (record,) = local(planned, Store(tmp_path / "results"), ExecutionOptions(memory=8 * 2**30))
    assert record.status == "failed" and "out of memory" in (record.error or "")


def test_what_runs_elsewhere_comes_last_and_what_is_done_elsewhere_is_not_done_again(planned, tmp_path):
    store = Store(tmp_path / "results")
    first, *rest = planned
    queue = Queue(planned, store)
    with heartbeat.heartbeat(store.folder, heartbeat.Heartbeat("elsewhere", first.spec.key)):
        taken = [queue.take() for _ in planned]
        assert [a and a.planned for a in taken] == [*rest, None]
    attempt = queue.take()
    assert attempt is not None and attempt.planned == first and not queue
    (once,) = serial([first], store, ExecutionOptions())
    (again,) = serial([first], store, ExecutionOptions())
    assert again == once


@pytest.mark.parametrize(
    ("runs", "cores", "gigabytes", "gpus", "share", "expected"),
    [
        (1, 16, 64, 0, 1.0, 1),
        (100, 16, 64, 0, 1.0, 16),
        (100, 64, 20, 0, 1.0, 9),  # 2 GB each of nine tenths of the memory
        (100, 2, 1, 0, 1.0, 1),
        (100, 16, 64, 4, 1.0, 4),
        (100, 16, 64, 4, 0.5, 8),
        (3, 16, 64, 4, 0.25, 3),
    ],
)
def test_jobs_follow_cores_memory_and_gpus(runs, cores, gigabytes, gpus, share, expected):
    assert resources.jobs(runs, cores, gigabytes * 2**30, gpus, share) == expected


def test_gpus_are_dealt_in_turn():
    assert [resources.gpu_of(slot, 3) for slot in range(7)] == [0, 1, 2, 0, 1, 2, 0]


def test_jobs_and_threads_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(resources.cores()))
    for jobs in (1, 2, 4):
        how = resources.resolve(1000, Placement(), resources.RequestedResources(jobs=jobs))
        assert how.jobs == jobs and how.threads == max(1, resources.cores() // jobs)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert resources.resolve(1, Placement(), resources.RequestedResources()).threads == 1  # what the user says holds


def test_what_is_loaded_is_read_again_when_its_file_changes(checkpoint):
    loaded, model = Loaded(), Model("vae", "omniglot")
    before, hashed = loaded.model(model, checkpoint, "cpu")[0], loaded.fingerprint(model, checkpoint)
    assert loaded.model(model, checkpoint, "cpu")[0] is before and before.frozen
    save_model(checkpoint, random_vae(TINY, seed=1), {})
    assert loaded.model(model, checkpoint, "cpu")[0] is not before
    assert loaded.fingerprint(model, checkpoint) != hashed


def test_task_that_writes_into_its_images_spoils_no_later_run_of_its_process(planned, tmp_path):
    path = Path(faulty(tmp_path, "pass"))
    path.write_text(path.read_text() + "\n    def bind(self, test):\n        return super().bind(test.zero_())\n")
    (writes,) = plan(Grid(["vae"], [str(path)], latent=4), Protocol(max_steps=2))
    alone, after = Store(tmp_path / "alone"), Store(tmp_path / "after")
    list(serial(planned[:1], alone, ExecutionOptions()))
    (zeros, _) = serial([writes, planned[0]], after, ExecutionOptions())
    key = planned[0].spec.key
    assert zeros.status == "ok" and numbers(after)[key] == numbers(alone)[key]


def test_estimate_is_of_measured_runs_alone_and_grows_with_the_budget(checkpoint):
    grid = Grid(["vae"], ["glyphs50:instances=2"], ["cmaes", "sobol"], latent=4)
    how = {"decoding": "greedy", "starts": ("random",)}
    cmaes, sobol = plan(grid, Protocol(budget=50, **how))
    done = [Record(cmaes.spec, "ok", seconds={"total": s}) for s in (1.0, 2.0, 9.0)]
    assert estimate([cmaes, sobol], done).unknown == [sobol.spec.title]
    assert estimate([cmaes, sobol], done).seconds == pytest.approx(2.0)  # the median
    (longer, _) = plan(grid, Protocol(budget=150, **how))
    assert estimate([cmaes, longer], done).seconds == pytest.approx(8.0)
    assert estimate([cmaes], []).measured == 0


WANTS = {
    "of Python": "raise MemoryError",
    "of oneDNN": "raise RuntimeError('could not create a primitive')",
    "of threading": 'raise RuntimeError("can\'t start new thread")',
    "of the system": "raise OSError(12, 'Cannot allocate memory')",
    "of C++": "raise RuntimeError('std::bad_alloc')",
}


@pytest.mark.parametrize("says", WANTS)
def test_want_of_memory_is_named_with_its_mend_whoever_says_it(checkpoint, tmp_path, says):
    study = plan(Grid(["vae"], [faulty(tmp_path, WANTS[says])], latent=4), Protocol(max_steps=3))
    (record,) = serial(study, Store(tmp_path / "r"), ExecutionOptions())
    assert record.status == "failed" and str(record.error).startswith("out of memory: ")
    assert str(record.error).endswith("; give it more by --memory or fewer --jobs")


def test_a_shape_that_a_library_cannot_do_is_no_want_of_memory(checkpoint, tmp_path):
    does = "raise RuntimeError('could not create a primitive descriptor for a convolution')"
    (record,) = serial(
        plan(Grid(["vae"], [faulty(tmp_path, does)], latent=4), Protocol(max_steps=3)),
        Store(tmp_path / "r"),
        ExecutionOptions(),
    )
    assert record.status == "failed" and "memory" not in str(record.error)


def test_a_process_without_room_for_a_thread_fails_its_run_with_the_limit_and_leaves_no_note(planned, tmp_path):
    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_DATA, (2**30, -1))
            threading.stack_size(2**30)
            os._exit([r.status for r in serial(planned[:1], Store(tmp_path / "r"), ExecutionOptions())] != ["failed"])
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    (kept,) = Store(tmp_path / "r")
    assert str(kept.error).startswith("out of memory (limit 1 GB): can't start new thread; give it more by --memory")
    assert not list((tmp_path / "r" / "tmp").iterdir())


def test_a_data_set_that_wants_more_memory_fails_its_run_and_is_not_blamed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("noise.py").write_text(NOISE.replace("return ", "raise MemoryError\n        return "))
    save_model(tmp_path / "checkpoints" / Model("vae", "noise.py", "small", 4).file, random_vae(TINY), {})
    study = plan(Grid(["vae"], ["ink:data=noise.py"], latent=4, searchers=["random"]), Protocol(budget=4))
    (record,) = serial(study, Store(tmp_path / "r"), ExecutionOptions())
    assert record.status == "failed" and str(record.error).startswith("out of memory: ")
