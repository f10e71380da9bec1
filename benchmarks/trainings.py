"""Train the models that the findings rest on, several at a time; show which are done.

    python benchmarks/trainings.py FOLDER                       # the list: done, running, interrupted or queued
    nice -n 19 python benchmarks/trainings.py FOLDER --jobs 2   # train what is missing, one thread each

A training that was interrupted goes on from its last state when the command is given again. Several commands may share
FOLDER: each training is done by one of them. Checkpoints of 30 epochs lie in FOLDER, those of another length in
FOLDER/epochs100 and the like, because the name of a checkpoint does not say its number of epochs.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import fcntl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lso_bench.vae.checkpoint import read
from lso_bench.vae.trained_model import SHIPPED, Model

CONV = ("vae", "beta_vae_0.5", "beta_vae_2", "beta_vae_4", "nevae_se", "info_vae", "rae", "free_bits")
READY = ("done", "shipped")  # states of a training that need no more work


@dataclass(frozen=True)
class Training:
    """One training: a model and its number of epochs."""

    model: Model
    epochs: int = 30

    def folder(self, root: Path) -> Path:
        return root if self.epochs == 30 else root / f"epochs{self.epochs}"

    def checkpoint(self, root: Path) -> Path:
        return self.folder(root) / self.model.file

    def command(self, precision: str) -> list[str]:
        m = self.model
        words = ["--model", m.name, "--data", m.data, "--arch", m.arch, "--latent", m.latent, "--seed", m.seed]
        return ["train", *map(str, words), "--epochs", str(self.epochs), "--precision", precision, "--quiet"]


def trainings() -> list[Training]:
    """List every training, the most wanted first."""

    def small(*names: str, data: str = "omniglot", latent: int = 32, seed: int = 0, epochs: int = 30) -> list[Training]:
        return [Training(Model(n, data, "small", latent, seed), epochs) for n in names]

    seeds = ("vae", "nevae_se", "beta_vae_0.9", "vae_noanneal", "nevae_lp_0.1")
    return [
        *small("beta_vae_0.8", "beta_vae_0.7", "beta_vae_0.6"),  # rows of Table 1
        *small(*seeds[:3], seed=1),  # section 5.4
        *small(*seeds[:3], seed=2),
        *small(*(f"nevae_lp_{c}" for c in (5.0, 3.0, 1.0, 0.0, -0.1, -3.0, -5.0))),  # rows of Table 1
        *small("vae", "nevae_se", latent=16),  # Table 2
        *small("vae_noanneal", "vae", "nevae_se", data="mnist", epochs=10),  # section 5.3.3
        *small(*seeds[3:], seed=1),
        *small(*seeds[3:], seed=2),
        *(Training(Model(n, "omniglot", "conv", 32, s), 20) for s in (0, 1, 2) for n in CONV),
        *small("vae", "nevae_se", epochs=100),
        *small("aggressive_noanneal"),
    ]


def state(training: Training, root: Path) -> str:
    """Say where a training stands: shipped, done, running, interrupted or queued."""
    path = training.checkpoint(root)
    if path.is_file():
        return "done"
    shipped = SHIPPED / path.name
    if shipped.is_file() and read(shipped)[1]["epochs"] == training.epochs:
        return "shipped"
    lock = path.with_suffix(".lock")
    if lock.exists():
        with lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "running"
    return "interrupted" if path.with_suffix(".state.safetensors").is_file() else "queued"


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a training; yield False if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def train(training: Training, root: Path, precision: str) -> int:
    """Train one model in a process of its own; return the exit status, 0 if nothing was left to do."""
    path = training.checkpoint(root)
    with locked(path) as free:
        if not free or path.is_file():
            return 0
        environment = os.environ | {"LSO_BENCH_CHECKPOINTS": str(path.parent)}
        program = [sys.executable, "-c", "from lso_bench.cli import main; main()"]
        with path.with_suffix(".log").open("a") as log:
            words = program + training.command(precision)
            return subprocess.run(words, env=environment, stdout=log, stderr=log, check=False).returncode


def show(root: Path) -> None:
    for t in trainings():
        print(f"{state(t, root):12}{t.epochs:4} epochs  {t.model.file}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=0, help="trainings at the same time; 0 shows the list")
    parser.add_argument("--precision", default="bf16", help="bf16 (slow on CPUs that do not multiply it) or fp32")
    parser.add_argument("--arch", default="", help="only the models of this architecture")
    args = parser.parse_args()
    if not args.jobs:
        show(args.folder)
        return
    said = threading.Lock()

    def one(training: Training) -> int:
        status = train(training, args.folder, args.precision)
        with said:
            print(f"{training.model.file}: status {status}", flush=True)
        return status

    todo = [t for t in trainings() if args.arch in ("", t.model.arch) and state(t, args.folder) not in READY]
    with ThreadPoolExecutor(args.jobs) as pool:
        statuses = list(pool.map(one, todo))
    raise SystemExit(3 if any(statuses) else 0)


if __name__ == "__main__":
    main()
