"""Time `compare` on thousands of runs: the index built, read, runs chosen, tables of final losses.

    python benchmarks/compare.py [--runs 10000] [--instances 5] [--steps 10] [--all] [--folder DIR]

Makes that many small but valid runs (10 models, 5 searchers, 2 tasks, seeds) in a temporary folder, or in DIR, where
they stay and are used again; then times, each in its turn: building the index, reading through it (median of 3),
choosing with `--where task=omniglot50`, and the comparison that `compare --no-traces` prints; with `--all` also reading
each file instead of the index, and the whole comparison, which reads traces and codes of each run. Seconds on the
clock, and those that the processor worked; starting Python is not counted. Memory: the most that the process had held
once the runs were read, with Python, torch and pandas.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from hashlib import sha256
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save

from lso_bench.analysis.comparison import compare
from lso_bench.analysis.fields import Condition, chosen
from lso_bench.report import tables
from lso_bench.spec import SCHEMA, Seeds, Spec
from lso_bench.store import index
from lso_bench.store.store import Store
from lso_bench.vae.objectives import TABLE_1
from lso_bench.vae.trained_model import Model

TASKS = [f"{data}50:data={data},instances=50,seed=0" for data in ("omniglot", "mnist")]
SEARCHERS = ("sobol:prior=False,batch=10", "random:prior=True,batch=10", *(f"cmaes:sigma={s}" for s in (0.1, 0.5, 1)))
VERSIONS = {"lso_bench": "0.1.0", "torch": "2.13.0", "device": "cpu", "threads": 1, "data_sha256": "0" * 64}


def specs(count: int) -> Iterator[Spec]:
    """Yield the specs of different runs, cell by cell of the grid with one seed, then with the next."""
    for seed in range(count):
        for model, searcher, task in product(TABLE_1[:10], SEARCHERS, TASKS):
            trained = Model(model, task.partition("50")[0])
            at = {"region": "box:3", "starts": ("random",), "budget": 300, "thresholds": ()}
            yield Spec(trained, model.ljust(64, "0"), task, searcher, Seeds(seed, seed), "teacher", **at)


def write(folder: Path, spec: Spec, losses: np.ndarray) -> None:
    """A run of these losses (instances, steps), without the care that `Store.add` takes for a crash."""
    place = folder / "runs" / spec.key[:2] / spec.key
    place.mkdir(parents=True)
    instances, steps = losses.shape
    members = [
        {"start": "random", "instance": i, "first_loss": curve[0], "loss": curve[-1], "steps": steps - 1, "met": []}
        | {"distance_to_prior": 6.0, "best": curve[-1], "evaluations": 300, "stopped": "budget", "consistency": 5.0}
        | {"image": f"{hash((spec.key, i)) % 2**64:016x}", "beside": {}}
        for i, curve in enumerate(losses.tolist())
    ]
    rows = [f"{s},random,{i},{losses[i, s]:.9g}" for s in range(steps) for i in range(instances)]
    costs = [f"{s},{30 * (s + 1)},{s / 2}" for s in range(steps)]
    files = {
        "trace.csv": "\n".join(["step,start,instance,loss", *rows, ""]).encode(),
        "costs.csv": "\n".join(["step,evaluations,seconds", *costs, ""]).encode(),
        "latents.safetensors": save({"z": torch.zeros(instances, 32), "z_met": torch.zeros(instances, 0, 32)}),
    }
    hashes = {name: sha256(content).hexdigest() for name, content in files.items()}
    rest = {"counts": {"evaluations": 300 * instances}, "seconds": {"total": 9.0}, "versions": VERSIONS, "error": None}
    whole = {"schema": SCHEMA, "spec": asdict(spec), "status": "ok", **rest, "joint": {"random": []}, "usual": {}}
    files["result.json"] = json.dumps(whole | {"members": members, "sha256": hashes}, indent=1).encode()
    for name, content in files.items():
        (place / name).write_bytes(content)


def timed(what: str, how: Callable, times: int = 1) -> Any:
    """Return the result of a call; print the medians of the seconds it took, on the clock and of the processor."""
    seconds, busy = [], []
    result: Any = None
    for _ in range(times):
        result = None  # makes room
        begun, worked = time.perf_counter(), time.process_time()
        result = how()
        seconds.append(time.perf_counter() - begun)
        busy.append(time.process_time() - worked)
    print(f"{what:48s} {median(seconds):8.2f} {median(busy):8.2f}", flush=True)
    return result


def measure(folder: Path, everything: bool) -> None:
    store = Store(folder)
    timed("index built", lambda: index.records(store))
    records = timed("read through the index", lambda: index.records(store), 3)
    print(f"{'  its size, MiB':48s} {index.path_of(folder).stat().st_size / 2**20:8.1f}")
    print(f"{'  memory at most until then, MiB':48s} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:8.0f}")
    where = [Condition("task", "=", ("omniglot50",))]
    timed("read and chosen", lambda: chosen(index.records(store), where), 3)
    comparison = timed("compared without traces", lambda: compare(records, None))
    timed("printed", lambda: Console(width=140, file=open(os.devnull, "w")).print(tables.terminal(comparison)))  # noqa: SIM115
    if everything:
        timed("every file read, without the index", lambda: list(store))
        timed("compared with traces and codes", lambda: compare(records, lambda _: store))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--instances", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--folder", type=Path, help="for the runs, kept and used again")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["LSO_BENCH_CACHE"] = temporary
        folder = args.folder or Path(temporary) / "results"
        store, rng = Store(folder), np.random.default_rng(0)
        if not store.fingerprints():
            for spec in islice(specs(args.runs), args.runs):
                ways = rng.lognormal(3, 0.3, (args.instances, args.steps + 1))
                write(folder, spec, np.minimum.accumulate(ways, axis=1))
        print(f"{f'{len(store.fingerprints())} runs of {args.instances} searches':48s}  seconds  of them busy")
        measure(folder, args.all)


if __name__ == "__main__":
    main()
