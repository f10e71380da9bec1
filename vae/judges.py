"""Models that judge what a search found and are never searched: how they are trained, kept and found."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from lso_bench.vae import checkpoint, zoo
from lso_bench.vae.classifier import Classifier
from lso_bench.vae.data import Dataset, file_name, load
from lso_bench.vae.density import Density
from lso_bench.vae.errors import UnusableError
from lso_bench.vae.labels import load_labels

BATCH = 100  # images of a step
LR = 3e-3  # of Adam, at its highest
EPOCHS = {"classifier": 12, "density": 4}


@dataclass(frozen=True)
class ReferenceModel:
    """What identifies a judge, and how long it is trained."""

    kind: Literal["classifier", "density"]
    data: str
    epochs: int
    seed: int = 0

    @property
    def file(self) -> str:
        return f"{file_name(self.data)}-{self.kind}.safetensors"

    @property
    def command(self) -> str:
        """What to type to train the same again."""
        return f"lso-bench train-judge {self.kind} --data {self.data} --epochs {self.epochs} --seed {self.seed}"


@dataclass(frozen=True)
class _Lesson:
    """A fresh judge, its loss for training images by their number, and what it measures on the test images."""

    pupil: Classifier | Density
    loss: Callable[[Int[Tensor, " b"]], Float[Tensor, ""]]
    measure: Callable[[], dict[str, float]]


def train(
    judge: ReferenceModel,
    path: Path,
    folder: Path | None = None,
    report: Callable[[int, int, float], None] = lambda *_: None,
) -> dict[str, float]:
    """Train on the CPU, save to `path` with what made it; what it measures on the test images.

    Args:
        folder: of the data.
        report: told step, steps and the mean loss of the epoch so far, at the end of every epoch.

    Raises:
        ValueError: no labels for a classifier to learn.
        UnusableError: data missing or damaged, or a loss that is not finite.
    """
    images = load(judge.data, folder)
    with torch.random.fork_rng():
        torch.manual_seed(judge.seed)
        lesson = LESSONS[judge.kind](images, folder)
        _descend(lesson, len(images.train), judge.epochs, report)
        lesson.pupil.eval()
        metrics = lesson.measure()
    classes = {"classes": lesson.pupil.classes} if isinstance(lesson.pupil, Classifier) else {}
    made_by = {"command": judge.command, "data_sha256": images.sha256, "torch": str(torch.__version__)}
    header = {**asdict(judge), **classes, **made_by, "threads": torch.get_num_threads(), "metrics": metrics}
    checkpoint.write(path, lesson.pupil.state_dict(), header)
    return metrics


def _of_classifier(images: Dataset, folder: Path | None) -> _Lesson:
    labels = load_labels(images.name, folder)
    pupil = Classifier(labels.classes)
    return _Lesson(
        pupil,
        lambda i: pupil.loss(images.train[i], labels.train[i]),
        lambda: pupil.test_metrics(images.test, labels.test),
    )


def _of_density(images: Dataset, folder: Path | None) -> _Lesson:
    pupil = Density()
    return _Lesson(pupil, lambda i: pupil.loss(images.train[i]), lambda: pupil.test_metrics(images.test))


LESSONS: dict[str, Callable[[Dataset, Path | None], _Lesson]] = {
    "classifier": _of_classifier,
    "density": _of_density,
}


def _descend(lesson: _Lesson, n: int, epochs: int, report: Callable[[int, int, float], None]) -> None:
    """Adam over shuffled batches, its step rising to `LR` and falling to nothing (Smith & Topin 2018)."""
    each = math.ceil(n / BATCH)
    lesson.pupil.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    adam = torch.optim.Adam(lesson.pupil.parameters(), fused=True)
    schedule = OneCycleLR(adam, LR, total_steps=epochs * each)
    for epoch in range(epochs):
        total = 0.0
        for i in torch.randperm(n).split(BATCH):
            adam.zero_grad(set_to_none=True)
            loss = lesson.loss(i)
            loss.backward()
            adam.step()
            schedule.step()
            total += loss.item()
        if not math.isfinite(total):
            raise UnusableError(f"Training diverged in epoch {epoch + 1}; give another --seed.")
        report((epoch + 1) * each, epochs * each, total / each)


@cache
def classifier(data: str, device: str | torch.device = "cpu") -> Classifier:
    """The shipped classifier of a data set: `classifier("mnist")(x)` are the logits of its `.classes`, of any batch.

    Raises:
        UnusableError: none ships for `data`, or its file is damaged.
    """
    path, tensors, header = _shipped("classifier", data)
    classes = header.get("classes")
    if not (isinstance(classes, list) and 1 < len(classes) < 1000 and all(isinstance(c, str) for c in classes)):
        raise UnusableError(f"{path}: its header names no classes.")
    return checkpoint.fitted(path, tensors, lambda: Classifier(classes)).requires_grad_(False).to(device)


@cache
def density(data: str, device: str | torch.device = "cpu") -> Density:
    """The shipped density of a data set: `density("mnist").log_prob(x)` in nats, of any batch of binary images.

    Raises:
        UnusableError: none ships for `data`, or its file is damaged.
    """
    path, tensors, header = _shipped("density", data)
    made = checkpoint.fitted(path, tensors, Density).requires_grad_(False).to(device)
    made.ordinary = header["metrics"]["q01"]
    return made


def _shipped(kind: str, data: str) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """One's own would judge otherwise than everyone else's, so only what ships is used."""
    there = sorted(p.name.removesuffix(f"-{kind}.safetensors") for p in zoo.SHIPPED.glob(f"*-{kind}.safetensors"))
    if data not in there:
        raise UnusableError(f"No {kind} of {data!r} ships; there are those of {', '.join(there)}.")
    path = zoo.SHIPPED / f"{data}-{kind}.safetensors"
    return path, *checkpoint.read(path)
