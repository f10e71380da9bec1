"""The paper's search (section 5.4, down to threshold 0) in one model of a day on a GPU, in a process of its own.

python benchmarks/gpu_searches.py OUT WORK MODEL
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from dataclasses import replace
from pathlib import Path

from gpu_report import Places, Setting, setting_of

from lso_bench.executors import ExecutionOptions
from lso_bench.executors.serial import serial
from lso_bench.paper.latent_search import planned
from lso_bench.process import settle_memory
from lso_bench.runner.placement import Placement
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

FEW = 5  # steps of a dry run


def runs(setting: Setting, name: str) -> list[PlannedRun]:
    """50 images from a random start and the encoder's, in the settled checkpoint of a model."""
    every = planned([setting.training(name).model], [0])
    if not setting.tiny:
        return every
    return [replace(p, spec=replace(p.spec, max_steps=FEW)) for p in every]


def missing(places: Places, setting: Setting) -> list[str]:
    """The models that are trained, as far as they are, and not searched yet."""
    trained = [n for n in setting.models if (places.checkpoints / setting.training(n).model.file).is_file()]
    store = Store(places.results)
    return [n for n in trained if any(p.spec not in store for p in runs(setting, n))]


def main() -> None:
    out, work, name = sys.argv[1:]
    places = Places(Path(out), Path(work))
    setting, store = setting_of(places), Store(places.results)
    places.settle()
    settle_memory()
    todo = [p for p in runs(setting, name) if p.spec not in store]
    for record in serial(todo, store, ExecutionOptions(Placement(device=setting.device, capture=setting.capture))):
        print(record.spec.title, record.status, record.error or "", record.joint, flush=True)


if __name__ == "__main__":
    main()
