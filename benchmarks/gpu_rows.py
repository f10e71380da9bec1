"""The rows of train.py and adam.py on one device, each noted in the report as soon as it is measured.

    python benchmarks/gpu_rows.py OUT WORK

The rows that want torch.compile come last: their preparation takes the longest, and the time may end before.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import adam
import torch
import train
from gpu_report import Places, Setting, note, read, setting_of

STEPS = {"cuda": 30, "cpu": 1}  # of a row
PARTS = ("training step", "search step")
FLOORS = "floors"
ONE_BY_ONE = "one image at a time"  # a hundred steps instead of one

Entry = dict[str, Any]


def entries(setting: Setting) -> Iterator[tuple[str, Callable[[], Entry]]]:
    """Names of all rows, and what measures each, in the order of their worth."""
    for compiled in (False, True) if setting.device == "cuda" else (False,):
        for part, rows in zip(PARTS, (_training_steps, _search_steps), strict=True):
            yield from ((f"{part}: {name}", measure) for name, measure in rows(setting, compiled).items())


def _training_steps(setting: Setting, compiled: bool) -> Mapping[str, Callable[[], Entry]]:
    bf16 = setting.precision == "bf16"
    ways = train.ways(setting.device, bf16, compiled)
    rows = {n: partial(_training_step, setting, n, s) for n, s in ways.items() if bool(s.get("compile")) == compiled}
    floors = {f"{FLOORS}, {p}": partial(_floor_of_training, setting, p) for p in ("fp32", "bf16")[: 1 + bf16]}
    return rows if compiled else floors | rows


def _training_step(setting: Setting, name: str, settings: Mapping[str, Any]) -> Entry:
    torch.backends.cudnn.allow_tf32 = True  # as torch has it, and as trainings do
    vae, x = train.beginning(setting.arch, setting.device)
    row = train.measured(vae, x, name, settings, STEPS[setting.device])
    return _entry(row.seconds, row.plain) | {"precision": row.precision}


def _floor_of_training(setting: Setting, precision: str) -> Entry:
    torch.backends.cudnn.allow_tf32 = True
    return asdict(train.floor_of_step(*train.beginning(setting.arch, setting.device), precision == "bf16"))


def _search_steps(setting: Setting, compiled: bool) -> Mapping[str, Callable[[], Entry]]:
    searched = adam.beginning(setting.arch, setting.device)
    before = adam.ways(searched, False)
    names = [n for n in adam.ways(searched, compiled) if n not in before or not compiled]
    if setting.tiny:
        names = [n for n in names if ONE_BY_ONE not in n]
    rows = {n: partial(_search_step, setting, n, compiled) for n in names}
    return rows if compiled else {f"{FLOORS}, fp32": partial(_floor_of_search, setting)} | rows


def _search_step(setting: Setting, name: str, compiled: bool) -> Entry:
    searched = adam.beginning(setting.arch, setting.device)
    steps = 1 if ONE_BY_ONE in name else STEPS[setting.device]
    return _entry(*adam.measured(searched, name, compiled, steps)) | {"precision": "fp32"}


def _floor_of_search(setting: Setting) -> Entry:
    searched = adam.beginning(setting.arch, setting.device)
    space = searched.space()
    return asdict(train.floor(space.vae, lambda: adam.lockstep(space, searched.z, searched.x), setting.device))


def _entry(seconds: list[float], yardstick: list[float]) -> Entry:
    return {"median": median(seconds), "least": min(seconds), "most": max(seconds), "yardstick": median(yardstick)}


def machine(device: str) -> Entry:
    """Description of the machine that measures."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    return {"device": name, "cores": os.cpu_count(), "torch": str(torch.__version__), "cuda": torch.version.cuda}


def unmeasured(places: Places, setting: Setting) -> list[tuple[str, Callable[[], Entry]]]:
    """The rows that the report does not have yet."""
    done = read(places).get("rows", {})
    return [(name, measure) for name, measure in entries(setting) if name not in done]


def main() -> None:
    places = Places(*map(Path, sys.argv[1:]))
    setting = setting_of(places)
    on = machine(setting.device)
    for name, measure in unmeasured(places, setting):
        try:
            entry = measure()
        except Exception as error:  # a compiler that is missing, say; the other rows do without
            entry = {"error": f"{type(error).__name__}: {error}"[:500]}
        note(places, "rows", {name: entry | on})
        print(name, entry, flush=True)
    note(places, "rows", {"all": True})


if __name__ == "__main__":
    main()
