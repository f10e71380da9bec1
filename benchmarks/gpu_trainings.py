"""One training of a day on a GPU, in a process of its own, until it is done or its time is over.

    python benchmarks/gpu_trainings.py OUT WORK MODEL UNTIL

UNTIL is in seconds of the clock, as time.time() has it. The state is packed into OUT at most every `PACK_EVERY`
seconds, after a whole epoch; at the end, the checkpoint, or what there is of it.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gpu_packing import is_finished, pack, settle
from gpu_report import Places, Setting, setting_of
from trainings import Training, locked

from lso_bench.models.training import plan
from lso_bench.process import settle_memory
from lso_bench.vae import checkpoint, training
from lso_bench.vae.data import Dataset, load

PACK_EVERY = 45.0  # seconds
FEW = 100  # images of a dry run to train on, and as many to measure on


def images(setting: Setting) -> Dataset:
    """The data set; of a dry run, few of its images."""
    data = load(setting.data)
    if not setting.tiny:
        return data
    return replace(data, train=data.train[:FEW], valid=data.valid[:FEW], test=data.test[:FEW])


def train(places: Places, setting: Setting, name: str, until: float) -> None:
    """Go on with one training; it stops after a whole epoch if the next would not end in time, or within one."""
    one, data = setting.training(name), images(setting)
    path = one.checkpoint(places.trainings)
    state = path.with_suffix(".state.safetensors")
    epochs, packed = 0, time.time()

    def report(progress: training.Progress) -> None:
        nonlocal epochs, packed
        if len(progress.history) == epochs:
            return
        epochs, now = len(progress.history), time.time()
        if epochs < setting.epochs and now + progress.history[-1]["seconds"] > until:
            raise training.Stopped
        if now - packed > PACK_EVERY:
            pack(places.packed(one), None, checkpoint.read(state))
            packed = now

    planned = plan(one.model, setting.epochs, capture=setting.capture, precision=setting.precision)
    if not path.is_file():
        with suppress(training.Stopped):
            training.train(planned, data, path, setting.device, report, lambda: time.time() > until)
    if path.is_file():
        finish(places, one, path, data, setting.device)
    elif state.is_file():
        finish(places, one, state, data, setting.device)


def finish(places: Places, one: Training, source: Path, data: Dataset, device: str) -> None:
    """Settle and pack what a training came to: its checkpoint, or a state with the checkpoint of its epochs so far."""
    tensors, header = checkpoint.read(source)
    settled = places.checkpoints / one.model.file
    if header["history"]:
        settle(settled, source, data, device)
    pack(places.packed(one), settled if header["history"] else None, (tensors, header) if "plan" in header else None)


def main() -> None:
    out, work, name, until = sys.argv[1:]
    places = Places(Path(out), Path(work))
    setting = setting_of(places)
    one = setting.training(name)
    settle_memory()
    with locked(one.checkpoint(places.trainings)) as free:
        if free and not is_finished(places.packed(one)):
            train(places, setting, name, float(until))


if __name__ == "__main__":
    main()
