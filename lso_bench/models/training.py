"""Training of a named model, with progress and learning curves, to the folder that `run` reads."""

import csv
import hashlib
import io
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lso_bench.errors import UsageError, unknown
from lso_bench.files.atomic_write import reporting_disk_errors, write_atomic
from lso_bench.files.paths import own_folder
from lso_bench.files.remarks import remark
from lso_bench.files.sanitize import one_line
from lso_bench.plotting import images as pictures
from lso_bench.plotting.numbers import fixed
from lso_bench.progress import progress_display
from lso_bench.store import heartbeat
from lso_bench.vae import judges, training
from lso_bench.vae.architectures import IMAGE
from lso_bench.vae.data import Dataset, check_repeatable, load
from lso_bench.vae.datasets import DATASETS, Source, TextSource
from lso_bench.vae.labels import labelled
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training_state import Plan, command

SHOWN = 100  # characters of the symbols of texts in a line
EPOCHS = {"paper": 100}  # epochs by architecture; otherwise 30

Row = dict[str, int | float]


def plan(
    model: Model, epochs: int | None = None, compile: bool = False, capture: bool = False, precision: str = "fp32"
) -> Plan:
    """Return the plan of a training; the rate's weight grows in the first third of it, for at most 10 epochs.

    Raises:
        UsageError: the precision is unknown.
    """
    if precision not in ("fp32", "bf16"):
        raise UsageError(f"--precision is fp32 or bf16, not {precision!r}.")
    total = epochs or EPOCHS.get(model.arch.partition(":")[0], 30)
    anneal = min(10.0, total / 3)
    return Plan(model, total, anneal, compile=compile, capture=capture, precision=precision)


def train(plan: Plan, data_dir: Path | None, device: str, quiet: bool, tensorboard: Path | None = None) -> Path:
    """Train a model, save it with its learning curve as CSV and PNG, and return the path of the checkpoint.

    Raises:
        UsageError: the checkpoint exists already; it is not overwritten.
        UnusableError: data are missing, or the training diverged.
        vae.training.Stopped: interrupted or terminated by a signal; the state is saved.
    """
    path = own_folder() / plan.model.file
    if path.exists():
        raise UsageError(f"{path} is there already; move it away to train it again, or say another --seed.")
    with _exclusively(path, plan) as is_done:
        if not is_done:
            _train(plan, path, data_dir, device, quiet, tensorboard)
    return path


@contextmanager
def _exclusively(path: Path, plan: Plan) -> Iterator[bool]:
    """Wait until no other process trains this model, with a line about the wait, and lock it for the body.

    Yields whether another process finished the training meanwhile.
    """
    folder, key = path.parent, hashlib.sha256(path.name.encode()).hexdigest()[:16]
    with reporting_disk_errors(folder / "tmp"):
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
    heartbeat.clear(folder)
    watch, announced = heartbeat.Watch(folder), False
    while note := watch.busy().get(key):
        if not announced:
            remark(heartbeat.waiting(note))
        announced = True
        time.sleep(heartbeat.EVERY)
    with heartbeat.heartbeat(
        folder, heartbeat.Heartbeat(f"the training of {plan.model.name} on {plan.model.data}", key)
    ):
        yield path.exists()


def _train(plan: Plan, path: Path, data_dir: Path | None, device: str, quiet: bool, tensorboard: Path | None) -> None:
    data, source = load(plan.model.data, data_dir), DATASETS.build(plan.model.data)
    check_repeatable(data, data_dir)
    samples, _ = source.words
    if not quiet:
        remark(_described(data, source))
    with progress_display(quiet) as show, _curves(path, tensorboard) as draw, _stopped_by_signals() as stop:

        def report(p: training.Progress) -> None:
            last = p.history[-1] if p.history else None
            so_far = _brief(last, source.entropy) if last else "first epoch"
            state = (
                f"epoch {min(p.epoch, plan.epochs)} of {plan.epochs}, {so_far}, {p.images_per_second:.0f} {samples}/s"
            )
            show(f"{plan.model.name} on {plan.model.data}", p.done, p.total, state)
            draw(p.history)

        try:
            training.train(plan, data, path, device, report, stop)
        except training.Stopped:
            command_line = again(plan, device, data_dir, tensorboard, quiet)
            remark(f"Kept beside {path}. To go on: {command_line}")
            raise


def _described(data: Dataset, source: Source) -> str:
    """Describe the parts of a data set, and what its texts consist of: who names the wrong file sees it here."""
    samples, _ = source.words
    parts = f"{len(data.train):,} {samples} to train with, {len(data.valid):,} to validate, {len(data.test):,} to test"
    if not isinstance(source, TextSource):
        return f"{data.name}: {parts}"
    symbols = one_line(" ".join(source.symbols), SHOWN)
    return f"{data.name}: {parts}; at most {source.length} symbols each, of these {len(source.symbols)}: {symbols}"


def train_judge(kind: str, data: str, epochs: int | None, seed: int, data_dir: Path | None, quiet: bool) -> Path:
    """Train a reference model, save it to the folder of the user's checkpoints, and return the path.

    Raises:
        UsageError: the kind does not exist, the data have no labels, or the file exists already; it is not overwritten.
        UnusableError: data are missing, or the training diverged.
    """
    if kind not in judges.EPOCHS:
        raise unknown("judge", kind, list(judges.EPOCHS))
    if kind == "classifier" and data not in (known := labelled()):
        raise UsageError(f"Data set {data!r} has no labels for a classifier; there are those of {', '.join(known)}.")
    if (source := DATASETS.build(data)).shape != IMAGE or source.likelihood != "bernoulli":
        raise UsageError(
            f"A judge wants binary images of 28 pixels a side; the samples of {data!r} have shape {source.shape}, "
            f"{source.likelihood}."
        )
    reference = judges.ReferenceModel(kind, data, epochs or judges.EPOCHS[kind], seed)  # pyright: ignore[reportArgumentType]
    path = own_folder() / reference.file
    if path.exists():
        raise UsageError(f"{path} is there already; move it away to train it again.")
    with progress_display(quiet) as show:
        metrics = judges.train(
            reference,
            path,
            data_dir,
            lambda step, steps, loss: show(f"{kind} of {data}", step, steps, f"mean loss {fixed(loss, 3)}"),
        )
    print(", ".join(f"{k} {v:.5g}" for k, v in metrics.items()), file=sys.stderr, flush=True)
    return path


def again(plan: Plan, device: str, data_dir: Path | None, tensorboard: Path | None, quiet: bool) -> str:
    """Return the command line, for a shell, that resumes a training with the same options."""
    folders = {"--data-dir": data_dir, "--tensorboard": tensorboard}
    words = ["--device", device, *(str(w) for option in folders.items() if option[1] for w in option)]
    return f"{command(plan)} {shlex.join([*words, *['--quiet'] * quiet])}"


def _brief(row: Row, entropy: float | None) -> str:
    """Return the losses of an epoch; -ELBO beside the entropy of the data, where it is known."""
    bound = "" if entropy is None else f" (entropy {fixed(entropy, 2)})"
    names = {"nelbo": f"-ELBO{bound}", "kl": "KL", "mi": "MI"} if "nelbo" in row else {"distortion": "distortion"}
    return ", ".join(f"{label} {fixed(row[key], 2)}" for key, label in names.items())


@contextmanager
def _curves(path: Path, tensorboard: Path | None) -> Iterator[Callable[[list[Row]], None]]:
    """Yield a function that writes the learning curve after each epoch; at the end, even by an error, plot it."""
    writer: Any = _tensorboard(tensorboard, path.stem) if tensorboard else None
    written: list[Row] = []

    def draw(history: list[Row]) -> None:
        if len(history) == len(written):
            return
        for row in history[len(written) :]:
            for key, value in row.items() if writer else ():
                writer.add_scalar(key, value, row["epoch"])
        written[:] = history
        text = io.StringIO(newline="")
        columns = list(dict.fromkeys(key for row in history for key in row))  # older rows have fewer
        table = csv.DictWriter(text, columns)
        table.writeheader()
        table.writerows(history)
        write_atomic(path.with_suffix(".csv"), text.getvalue().encode())

    try:
        yield draw
    finally:
        if writer:
            writer.close()
        if written:
            pictures.learning_curve(path.with_suffix(".png"), path.stem, written)


def _tensorboard(folder: Path, name: str) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            "--tensorboard wants the package tensorboard: pip install 'lso-bench[tensorboard]'."
        ) from error
    return SummaryWriter(folder / name)


@contextmanager
def _stopped_by_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT or SIGTERM came, to stop after the batch; a second stops at once."""
    received: list[int] = []
    before = {int(s): signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _) -> None:
        if received:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        received.append(number)

    for s in before:
        signal.signal(s, note)
    try:
        yield lambda: bool(received)
    except training.Stopped:
        for s, handler in before.items():
            signal.signal(s, handler)
        signal.raise_signal(received[0])
        raise
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
