"""A day on a GPU on disk: what is asked for, where it lies, and what is known so far."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainings import Training

from lso_bench.files.atomic_write import write_atomic
from lso_bench.vae.trained_model import Model

ROOT = Path(__file__).parents[1]
TINY = "small:encoder=8,hidden=16,channels=8"  # the networks of a dry run


@dataclass(frozen=True)
class Setting:
    """Setting of what is measured, trained and searched; the same each time that an output folder is given again."""

    models: tuple[str, ...]
    device: str = "cuda"
    data: str = "omniglot"
    arch: str = "paper"
    epochs: int = 100
    precision: str = "bf16"
    tiny: bool = False  # a dry run: few images, few steps

    @property
    def capture(self) -> bool:
        """Tell whether steps are replayed as CUDA graphs."""
        return self.device == "cuda"

    def training(self, name: str) -> Training:
        return Training(Model(name, self.data, self.arch), self.epochs)


@dataclass(frozen=True)
class Places:
    """The output folder, which holds all that is needed to go on, and the folder of work in progress."""

    out: Path
    work: Path

    @property
    def report(self) -> Path:
        return self.out / "report.json"

    @property
    def archive(self) -> Path:
        return self.out / "results.tar.zst"

    @property
    def results(self) -> Path:
        return self.work / "results"

    @property
    def trainings(self) -> Path:
        return self.work / "trainings"

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    def packed(self, training: Training) -> Path:
        """Path of the packed file of one training."""
        return self.out / training.model.file.replace(".safetensors", ".half.safetensors")

    def settle(self) -> None:
        """Make checkpoints of this folder, and no others of the user's, the ones that are searched, here and in
        processes begun from here."""
        os.environ["LSO_BENCH_CHECKPOINTS"] = str(self.checkpoints)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


def read(places: Places) -> dict[str, Any]:
    """The report so far; empty before the first word."""
    return json.loads(places.report.read_text()) if places.report.is_file() else {}


def note(places: Places, part: str, entries: Mapping[str, Any]) -> None:
    """Add entries to a part of the report. Parts follow one another, so that nobody else writes at the same time."""
    report = read(places)
    report[part] = report.get(part, {}) | dict(entries)
    write_atomic(places.report, json.dumps(report, indent=1).encode())


def begin(places: Places, setting: Setting) -> None:
    """Note the setting, or refuse a folder that was begun with another.

    Raises:
        SystemExit: it was; status 2.
    """
    before, now = read(places).get("setting"), json.loads(json.dumps(asdict(setting)))
    if before is None:
        note(places, "setting", now)
    elif before != now:
        print(f"{places.out} was begun with {before}, and {now} is asked for; say another folder.")
        raise SystemExit(2)


def setting_of(places: Places) -> Setting:
    """The setting with which a folder was begun."""
    noted = read(places)["setting"]
    return Setting(**noted | {"models": tuple(noted["models"])})
