"""Ten minutes on a GPU: what needs one, in the order of its worth, written down as it goes, and gone on with.

    python benchmarks/gpu.py OUT [--work FOLDER] [--minutes 10]       # on a machine with a GPU
    python benchmarks/gpu.py OUT --device cpu --tiny                  # the same in small, without one, in a minute
    python benchmarks/gpu.py OUT --unpack CHECKPOINTS                 # afterwards: checkpoints as they ship

(1) The tests that need a GPU; (2) the rows of train.py and adam.py, and their floors; (3) trainings of the architecture
`paper` by the captured step, several side by side as processes, the first of `--models` first; (4) the paper's search
to threshold 0 in each, as far as it is trained. Each part has its share of the minutes, and leaves to the next call
what does not fit: given the same OUT again, the command goes on, and does nothing twice. OUT alone is enough for that;
WORK (default: OUT.work) may be lost. OUT holds report.json, results.tar.zst (an archive that `lso-bench compare` reads)
and one file a training, in half precision: its checkpoint, and the state of one that is not finished, of which the
search then sees the epochs that it has.

Kernels of several processes take turns on a GPU unless a daemon shares it among them (NVIDIA's MPS, which this command
neither starts nor needs); two processes fill the gaps between launches, so `--jobs` is 2.

On a bare machine without a network, which has torch and the packages that commonly come with it, begin where there is
a network. This writes a folder of a few MB with the packages that are missing there and the images:

    python benchmarks/gpu_prepare.py .gpu

Take the repository there (vae/checkpoints and results may stay behind) with .gpu in it, and in its root type

    python3 -m pip install -q --no-index --no-deps --target /tmp/site .gpu/*.whl
    PYTHONPATH=/tmp/site python3 benchmarks/gpu.py OUT --work /tmp/work --images .gpu/omniglot-28.npz --minutes 9.3

with 0.7 minutes less than the machine is lent for. What came home in OUT goes with it the next time.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import shutil
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from gpu_packing import is_finished, unpack
from gpu_processes import side_by_side, tail
from gpu_report import ROOT, TINY, Places, Setting, begin, note, read
from gpu_searches import missing
from gpu_summary import left, summary

from lso_bench.files.cache import cached
from lso_bench.store import archive
from lso_bench.store.unpack import unpack as unpack_archive

MODELS = ("vae", "nevae_se", "beta_vae_0.9", "aggressive", "nevae_lp_0.1")
ENDS = {"tests": 0.12, "rows": 0.3, "trainings": 0.82, "searches": 0.97}  # of each part, in shares of the minutes
SETTLING = 15.0  # seconds that a training keeps of its time, to measure and to pack


@dataclass(frozen=True)
class Day:
    """Plan of a day: what is done, where, and in which time."""

    places: Places
    setting: Setting
    minutes: float
    jobs: int
    began: float = field(default_factory=time.time)

    def end(self, part: str) -> float:
        """Time at which a part has to be over, by time.time()."""
        return self.began + 60 * self.minutes * ENDS[part]

    def script(self, name: str, *words: object) -> list[str]:
        """The command of one of the scripts beside this one."""
        path = ROOT / "benchmarks" / name
        return [sys.executable, *map(str, (path, self.places.out, self.places.work, *words))]

    def carry_out(self, part: str, commands: Mapping[str, Sequence[str]], jobs: int = 1) -> int | None:
        """Run the commands of a part; the status of the last to end, None if it did not end in time."""
        status: int | None = 0
        for name, status in self.outcomes(part, commands, jobs):
            print(f"{part}: {name}: {'no end in its time' if status is None else f'status {status}'}", flush=True)
        return status

    def outcomes(self, part: str, commands: Mapping[str, Sequence[str]], jobs: int):
        """Names and statuses as the commands of a part end; the last lines of those that fail are shown."""
        logs = self.places.work / "logs" / part
        for name, status in side_by_side(commands, jobs, self.end(part), logs):
            if status:
                print(tail(logs / f"{name}.log"), flush=True)
            yield name, status


def tests(day: Day) -> None:
    """Run the tests that need a GPU; where there is none they are skipped, and counted so."""
    if "status" in read(day.places).get("tests", {}):
        return
    files = [str(p) for p in sorted((ROOT / "tests").glob("test_*.py")) if "pytest.mark.gpu" in p.read_text()]
    counts = day.places.work / "tests.xml"
    options = ["-m", "gpu", "-W", "default", "-p", "no:cacheprovider", f"--junitxml={counts}"]
    status = day.carry_out("tests", {"tests": [sys.executable, "-m", "pytest", *options, *files]})
    suite = next(ET.parse(counts).iter("testsuite")).attrib if counts.is_file() else {}
    output = tail(day.places.work / "logs" / "tests" / "tests.log", 60)
    entry = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")} | {"output": output}
    note(day.places, "tests", entry if status is None else entry | {"status": status})


def rows(day: Day) -> None:
    if "all" not in read(day.places).get("rows", {}):
        day.carry_out("rows", {"rows": day.script("gpu_rows.py")})


def trainings(day: Day) -> None:
    todo = [n for n in day.setting.models if not is_finished(day.places.packed(day.setting.training(n)))]
    until = day.end("trainings") - SETTLING
    commands = {n: day.script("gpu_trainings.py", n, until) for n in todo}
    if time.time() < until:
        day.carry_out("trainings", commands, day.jobs)


def searches(day: Day) -> None:
    commands = {n: day.script("gpu_searches.py", n) for n in missing(day.places, day.setting)}
    for name, status in day.outcomes("searches", commands, day.jobs):
        print(f"searches: {name}: {'no end in its time' if status is None else f'status {status}'}", flush=True)
        archive.pack(day.places.results, day.places.archive)


def restore(places: Places, setting: Setting) -> None:
    """Fetch from the output folder what the folder of work does not have, or has no more."""
    for one in map(setting.training, setting.models):
        packed, path = places.packed(one), one.checkpoint(places.trainings)
        state, settled = path.with_suffix(".state.safetensors"), places.checkpoints / one.model.file
        if packed.is_file() and not (path.is_file() or state.is_file() or settled.is_file()):
            unpack(packed, settled, state)
    if places.archive.is_file() and not places.results.is_dir():
        shutil.copytree(unpack_archive(places.archive), places.results)


def take(images: Path, places: Places) -> None:
    """Put Omniglot's images, from the file that gpu_prepare.py wrote, where they are looked for first."""
    os.environ["LSO_BENCH_CACHE"] = str(places.work / "cache")
    cached("omniglot-28", lambda: np.load(images, allow_pickle=False)["images"])


def unpack_all(out: Path, folder: Path) -> None:
    """Write each checkpoint that came home, as an ordinary one in single precision, and say what it is."""
    for packed in sorted(out.glob("*.half.safetensors")):
        path = folder / packed.name.replace(".half.", ".")
        if path.exists():
            print(f"{path} is there already; nothing is overwritten.")
        elif "checkpoint" in unpack(packed, path):
            print(f"written: {path}")
        else:
            print(f"{packed.name} holds no whole epoch yet.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path, help="folder of work in progress [default: OUT.work]")
    parser.add_argument("--minutes", type=float, default=10.0, help="after which the command has ended")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--tiny", action="store_true", help="tiny networks, few images, few steps: a dry run")
    parser.add_argument(
        "--models", help=f"the most wanted first [default: {','.join(MODELS)}; with --tiny the first 2]"
    )
    parser.add_argument("--epochs", type=int, default=None, help="[default: 100; with --tiny 2]")
    parser.add_argument("--precision", default=None, help="fp32 or bf16 [default: bf16; with --tiny fp32]")
    parser.add_argument("--jobs", type=int, default=2, help="trainings, and searches, at the same time")
    parser.add_argument("--images", type=Path, help="Omniglot as gpu_prepare.py wrote it [default: the data folder]")
    parser.add_argument("--unpack", type=Path, metavar="CHECKPOINTS", help="only write the checkpoints of OUT there")
    return parser.parse_args()


def main() -> None:
    typed = arguments()
    out = typed.out.absolute()
    if typed.unpack:
        unpack_all(out, typed.unpack)
        return
    places = Places(out, (typed.work or out.with_name(f"{out.name}.work")).absolute())
    models = tuple(typed.models.split(",")) if typed.models else MODELS[: 2 if typed.tiny else None]
    if typed.tiny:
        setting = Setting(models, typed.device, "glyphs", TINY, typed.epochs or 2, typed.precision or "fp32", True)
    else:
        setting = Setting(models, typed.device, epochs=typed.epochs or 100, precision=typed.precision or "bf16")
    day = Day(places, setting, typed.minutes, typed.jobs)
    begin(places, setting)
    places.settle()
    if typed.images:
        take(typed.images, places)
    restore(places, setting)
    for part in (tests, rows, trainings, searches):
        part(day)
    print(summary(places, setting))
    raise SystemExit(3 if left(places, setting) else 0)


if __name__ == "__main__":
    main()
