"""Many trivial runs through each executor: what a run costs beside its search, and whether anything grows.

    python benchmarks/scale.py [--runs 300] [--batched 10000] [--ray 1000] [--jobs 2] [--folder DISK]

A run is one evaluation of one code of a tiny network. Prints for each executor the seconds of its start, the overhead a
run (wall time times jobs, less the seconds that the same run takes in a process that has all it needs), what of it is
beyond `serial`, which publishes too but hands nothing out, what is computing in this process, the memory of this
process after a tenth of the runs and at the end, and whether the folder holds each planned run once, its files by their
hashes, and nothing else.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from lso_bench.doctor.results import faults
from lso_bench.executors import ExecutionOptions, Executor
from lso_bench.executors.local import local
from lso_bench.executors.ray_cluster import cluster
from lso_bench.executors.serial import serial
from lso_bench.store.store import Store
from lso_bench.study.grid import Grid, PlannedRun, Protocol, plan
from lso_bench.vae.architectures import architecture
from lso_bench.vae.checkpoint import save_model
from lso_bench.vae.model import VAE
from lso_bench.vae.trained_model import Model

ARCH, LATENT = "conv:channels=2,encoder=2", 2


def trivial(runs: int) -> list[PlannedRun]:
    """So many runs, which differ in their seed."""
    grid = Grid(["vae"], ["ink"], ["random"], range(runs), arch=ARCH, latent=LATENT)
    return plan(grid, Protocol(budget=1))


def resident() -> float:
    """Megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def consistent(store: Store, planned: Sequence[PlannedRun]) -> bool:
    """Tell whether the folder holds each run once, whole as `lso-bench doctor` looks at it, and nothing half done."""
    once = sorted(f.name for f in store.folder.glob("runs/*/*")) == sorted(p.spec.key for p in planned)
    return once and not faults(store) and not list((store.folder / "tmp").iterdir())


def measure(
    name: str, executor: Executor, planned: Sequence[PlannedRun], how: ExecutionOptions, warm: float, alone: float = 0
) -> float:
    """A line on stdout; the overhead of a run in milliseconds. `alone`: that of `serial`."""
    with tempfile.TemporaryDirectory() as folder:
        store, begun, early = Store(Path(folder) / "results"), time.perf_counter(), 0.0
        first = computed = 0.0
        for i, record in enumerate(executor(planned, store, how)):
            assert record.status == "ok", record.error
            if i == how.jobs - 1:
                first, computed = time.perf_counter(), time.process_time()
            if i == len(planned) // 10:
                early = resident()
        wall = (time.perf_counter() - first) / (len(planned) - how.jobs)
        computing = (time.process_time() - computed) / (len(planned) - how.jobs)
        late, whole = resident(), consistent(store, planned)
    overhead = 1000 * (how.jobs * wall - warm)
    print(
        f"{name}: {len(planned)} runs, {how.jobs} at a time, start {first - begun:.1f} s, {1 / wall:.1f} a second, "
        f"overhead {overhead:.1f} ms a run{f', {overhead - alone:.1f} beyond here' if alone else ''}, "
        f"computing in the command {1000 * computing:.1f} ms; memory {early:.0f} MB early, {late:.0f} MB at the end; "
        f"{'each run once, whole, and nothing else' if whole else 'NOT CONSISTENT'}",
        flush=True,
    )
    return overhead


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300, help="with a process each")
    parser.add_argument("--batched", type=int, default=10_000)
    parser.add_argument("--ray", type=int, default=1000, help="on a Ray cluster of this machine; 0: none")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", help="where the results are written for a while")
    args = parser.parse_args()
    tempfile.tempdir = args.folder  # None: the system's
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as checkpoints:
        os.environ["LSO_BENCH_CHECKPOINTS"] = checkpoints
        model = Model("vae", "glyphs", ARCH, LATENT)
        save_model(Path(checkpoints) / model.file, VAE(architecture(ARCH, LATENT)).eval(), {})
        begun = time.perf_counter()
        planned = trivial(max(args.runs, args.batched, args.ray))
        print(f"planned {len(planned)} runs in {time.perf_counter() - begun:.1f} s", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            records = list(serial(planned[:50], Store(Path(folder) / "results"), ExecutionOptions()))
        warm = median(r.seconds["total"] for r in records)
        print(f"a run itself: {1000 * warm:.1f} ms", flush=True)
        alone = measure("here", serial, planned[: args.runs], ExecutionOptions(), warm)
        measure("local, a process a run", local, planned[: args.runs], ExecutionOptions(jobs=args.jobs), warm, alone)
        batch = ExecutionOptions(jobs=args.jobs, isolation="batch")
        measure("local, batch", local, planned[: args.batched], batch, warm, alone)
        if args.ray:
            measure("ray", cluster, planned[: args.ray], replace(batch, address="local"), warm, alone)


if __name__ == "__main__":
    main()
