"""Reference models, which judge the results of searches and are never searched: train, save and load them."""

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

from lso_bench.errors import UnusableError
from lso_bench.vae import checkpoint
from lso_bench.vae.classifier import Classifier
from lso_bench.vae.data import Dataset, file_name, load
from lso_bench.vae.density import Density
from lso_bench.vae.labels import load_labels
from lso_bench.vae.trained_model import SHIPPED

BATCH = 100  # images a step
LR = 3e-3  # highest learning rate of Adam
EPOCHS = {"classifier": 12, "density": 4}


@dataclass(frozen=True)
class ReferenceModel:
    """Identity of a reference model, and the length of its training."""

    kind: Literal["classifier", "density"]
    data: str
    epochs: int
    seed: int = 0

    @property
    def file(self) -> str:
        return f"{file_name(self.data)}-{self.kind}.safetensors"

    @property
    def command(self) -> str:
        """Return the command line that repeats the training."""
        return f"lso-bench train-judge {self.kind} --data {self.data} --epochs {self.epochs} --seed {self.seed}"


@dataclass(frozen=True)
class _TrainingSetup:
    """Untrained model, its loss for training images by their indices, and its metrics on the test images."""

    model: Classifier | Density
    loss: Callable[[Int[Tensor, " b"]], Float[Tensor, ""]]
    measure: Callable[[], dict[str, float]]


def train(
    reference: ReferenceModel,
    path: Path,
    folder: Path | None = None,
    report: Callable[[int, int, float], None] = lambda *_: None,
) -> dict[str, float]:
    """Train on the CPU, save to `path` with a header, and return the metrics on the test images.

    Args:
        folder: of the data.
        report: called at the end of every epoch with step, number of steps and the mean loss of the epoch so far.

    Raises:
        ValueError: the data set has no labels for a classifier.
        UnusableError: data are missing or damaged, or a loss is not finite.
    """
    images = load(reference.data, folder)
    with torch.random.fork_rng():
        torch.manual_seed(reference.seed)
        setup = SETUPS[reference.kind](images, folder)
        _optimize(setup, len(images.train), reference.epochs, report)
        setup.model.eval()
        metrics = setup.measure()
    classes = {"classes": setup.model.classes} if isinstance(setup.model, Classifier) else {}
    provenance = {"command": reference.command, "data_sha256": images.sha256, "torch": str(torch.__version__)}
    header = {**asdict(reference), **classes, **provenance, "threads": torch.get_num_threads(), "metrics": metrics}
    checkpoint.write(path, setup.model.state_dict(), header)
    return metrics


def _classifier_setup(images: Dataset, folder: Path | None) -> _TrainingSetup:
    labels = load_labels(images.name, folder)
    model = Classifier(labels.classes)
    return _TrainingSetup(
        model,
        lambda i: model.loss(images.train[i], labels.train[i]),
        lambda: model.test_metrics(images.test, labels.test),
    )


def _density_setup(images: Dataset, folder: Path | None) -> _TrainingSetup:
    model = Density()
    return _TrainingSetup(model, lambda i: model.loss(images.train[i]), lambda: model.test_metrics(images.test))


SETUPS: dict[str, Callable[[Dataset, Path | None], _TrainingSetup]] = {
    "classifier": _classifier_setup,
    "density": _density_setup,
}


def _optimize(setup: _TrainingSetup, n: int, epochs: int, report: Callable[[int, int, float], None]) -> None:
    """Minimise by Adam over shuffled batches; its step rises to `LR` and falls to 0 (Smith & Topin 2018)."""
    steps = math.ceil(n / BATCH)
    setup.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    adam = torch.optim.Adam(setup.model.parameters(), fused=True)
    schedule = OneCycleLR(adam, LR, total_steps=epochs * steps)
    for epoch in range(epochs):
        total = 0.0
        for i in torch.randperm(n).split(BATCH):
            adam.zero_grad(set_to_none=True)
            loss = setup.loss(i)
            loss.backward()
            adam.step()
            schedule.step()
            total += loss.item()
        if not math.isfinite(total):
            raise UnusableError(f"Training diverged in epoch {epoch + 1}; give another --seed.")
        report((epoch + 1) * steps, epochs * steps, total / steps)


@cache
def classifier(data: str, device: str | torch.device = "cpu") -> Classifier:
    """Return the shipped classifier of a data set: `classifier("mnist")(x)` are logits of its `.classes`.

    `x` may have any batch shape.

    Raises:
        UnusableError: none ships for `data`, or its file is damaged.
    """
    path, tensors, header = _read_shipped("classifier", data)
    classes = header.get("classes")
    if not (isinstance(classes, list) and 1 < len(classes) < 1000 and all(isinstance(c, str) for c in classes)):
        raise UnusableError(f"{path}: its header names no classes.")
    return checkpoint.fitted(path, tensors, lambda: Classifier(classes)).requires_grad_(False).to(device)


@cache
def density(data: str, device: str | torch.device = "cpu") -> Density:
    """Return the shipped density of a data set: `density("mnist").log_prob(x)` is in nats.

    `x` are binary images of any batch shape.

    Raises:
        UnusableError: none ships for `data`, or its file is damaged.
    """
    path, tensors, header = _read_shipped("density", data)
    model = checkpoint.fitted(path, tensors, Density).requires_grad_(False).to(device)
    model.ordinary = header["metrics"]["q01"]
    return model


def _read_shipped(kind: str, data: str) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """Read a shipped model. Only shipped models are used, so that scores are comparable between users."""
    shipped = sorted(p.name.removesuffix(f"-{kind}.safetensors") for p in SHIPPED.glob(f"*-{kind}.safetensors"))
    if data not in shipped:
        raise UnusableError(f"No {kind} of {data!r} ships; there are those of {', '.join(shipped)}.")
    path = SHIPPED / f"{data}-{kind}.safetensors"
    return path, *checkpoint.read(path)
