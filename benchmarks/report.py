"""`lso-bench report` of 200 runs: megabytes of the page, and seconds of the whole command.

    python benchmarks/report.py [--seeds 10] [--results FOLDER]

Makes results of 5 models, 4 searchers and 10 seeds (50 targets, 2 starts, 32 latent dimensions, 100 recorded steps of
each search; losses and images are drawn, nothing is searched), and starts the program on them as a user would.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lso_bench.record import Record, SearchResult
from lso_bench.spec import Seeds, Spec
from lso_bench.store.store import Store
from lso_bench.vae.trained_model import Model

MODELS = ("vae", "nevae_se", "beta_vae_0.9", "nevae_lp_0.1", "aggressive")
SEARCHERS = ("adam:lr=0.1", "lbfgs:lr=1.0", "cmaes:sigma=0.5", "turbo:q=5")
TARGETS, STARTS, DIMENSIONS, STEPS = 50, ("random", "encoder"), 32, 1000
RECORDED = np.unique(np.geomspace(1, STEPS + 1, 140).astype(int) - 1)


def record(model: str, searcher: str, seed: int) -> Record:
    """A run whose losses fall to a floor that depends on target and model."""
    spec = Spec(Model(model, "omniglot"), "0" * 64, "omniglot50", searcher, Seeds(seed, seed), max_steps=STEPS)
    rng = np.random.default_rng(int(spec.key, 16))
    floor = 15 + 10 * np.random.default_rng(0).random(TARGETS) + MODELS.index(model) / 5
    members, rows = [], []
    for start, instance in product(STARTS, range(TARGETS)):
        losses = floor[instance] + 10 * rng.random() * np.exp(-RECORDED / (30 * (1 + rng.random()))) + rng.random() / 50
        met: list[int | None] = [100 * (1 + i + int(rng.integers(3))) for i in range(len(spec.thresholds))]
        first, last = float(losses[0]), float(losses[-1])
        members.append(SearchResult(start, instance, first, last, STEPS, met, 6.0, last, STEPS + 1, "steps"))
        rows.append(pd.DataFrame({"step": RECORDED, "start": start, "instance": instance, "loss": losses}))
    n = len(members)
    z = torch.from_numpy(rng.standard_normal((n, DIMENSIONS))).float()
    images = torch.from_numpy((rng.random((TARGETS, 1, 28, 28)) > 0.8).astype(np.uint8) * 255)
    shown = (images.float() * (0.7 + 0.3 * torch.from_numpy(rng.random((TARGETS, 1, 28, 28))).float())).to(torch.uint8)
    tensors = {
        "z": z,
        "z_met": z[:, None].repeat(1, len(spec.thresholds), 1),
        "targets": images,
        "decoded": shown.repeat(2, 1, 1, 1),
    }
    costs = pd.DataFrame({"step": RECORDED, "evaluations": RECORDED + 1, "seconds": 0.1 * RECORDED})
    versions = {"device": "cpu", "threads": 1}
    return Record(spec, "ok", members, versions=versions, trace=pd.concat(rows), costs=costs, tensors=tensors)


def main() -> None:
    """Make the runs, report them, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--results", type=Path, help="where to make the runs, and leave them [default: nowhere]")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.results or Path(temporary) / "results"
        store, grid = Store(folder), [*product(MODELS, SEARCHERS, range(args.seeds))]
        for part in grid:
            store.add(record(*part))
        page = folder.with_suffix(".html")
        program = [sys.executable, "-c", "from lso_bench.cli import main; main()"]
        start, before = time.perf_counter(), os.times()
        subprocess.run([*program, "report", str(folder), "-o", str(page)], check=True)
        seconds, after = time.perf_counter() - start, os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        size = page.stat().st_size / 1e6
    print(
        f"{len(grid)} runs of {TARGETS * len(STARTS)} searches: {size:.2f} MB, {seconds:.1f} s ({spent:.1f} s of CPU)"
    )


if __name__ == "__main__":
    main()
