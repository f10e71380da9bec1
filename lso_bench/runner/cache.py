"""Cache of data sets and frozen models: each is read once for all runs of a process, unless its files change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from lso_bench.errors import UnusableError
from lso_bench.runner import aggregate_posterior
from lso_bench.search.coordinates import Moments
from lso_bench.task import Task
from lso_bench.task.nearest_row import TrainingRows
from lso_bench.task.text_task import TextTask
from lso_bench.vae.data import Dataset, data_folder, file_name, load
from lso_bench.vae.loading import fingerprint
from lso_bench.vae.loading import load as load_model
from lso_bench.vae.model import LatentModel
from lso_bench.vae.trained_model import Model

CACHED = 4  # most data sets and most models; the largest data set takes 50 MB


class Loaded:
    """Data sets and models that the runs of one process have read."""

    def __init__(self) -> None:
        self._cached: dict[tuple[Any, ...], Any] = {}

    def data(self, name: str, folder: Path | None, planned: str = "") -> Dataset:
        """Return a data set as `lso_bench.vae.data.load` does. Runs share it; if a run wrote into its images, it is
        read again.

        Args:
            planned: the result of `lso_bench.vae.data.file_name` when the run was planned; empty: not known.

        Raises:
            ValueError, UnusableError: as `load`.
            UnusableError: its files have changed since the run was planned.
        """

        def read() -> tuple[Dataset, list[int]]:
            data = load(name, folder)
            if file_name(name) != files:
                raise UnusableError(f"Data set {name!r} has changed while it was read; run the command again.")
            return data, _write_counts(data)

        files = file_name(name)
        if planned and files != planned:
            raise UnusableError(f"Data set {name!r} has changed since the run was planned; run the command again.")
        key = "data", name, files, folder or data_folder()
        data, before = self.once(key, read)
        if _write_counts(data) != before:
            del self._cached[key]
            data, _ = self.once(key, read)
        return data

    def fingerprint(self, model: Model, checkpoint: Path) -> str:
        """Return the identity of a model's weights, as `lso_bench.vae.loading.fingerprint` does."""
        if model.external:
            return fingerprint(model, checkpoint)
        return self.once(("sha256", *_file_state(checkpoint)), lambda: fingerprint(model, checkpoint))

    def model(self, model: Model, checkpoint: Path, device: str) -> tuple[LatentModel, dict[str, Any]]:
        """Return the frozen model and the header of its checkpoint.

        Raises:
            UnusableError, UsageError, PluginError: as `lso_bench.vae.loading.load`.
        """

        def read() -> tuple[LatentModel, dict[str, Any]]:
            vae, header = load_model(model, checkpoint)
            return vae.to(device), header

        return self.once(("model", device, *_model_state(model, checkpoint)), read)

    def training_rows(self, task: Task, data: Dataset) -> TrainingRows | None:
        """Return the training texts of a task's data; None if the task does not score texts."""
        if not isinstance(task, TextTask):
            return None
        return self.once(("rows", data.name, data.sha256), lambda: task.training_rows(data.train.numpy()))

    def moments(self, model: Model, checkpoint: Path, data: Dataset) -> Moments:
        """Return the moments of the aggregate posterior, computed on the CPU, so that they are the same everywhere.

        Raises:
            UnusableError: as `model`.
        """
        key = "moments", data.name, data.sha256, *_model_state(model, checkpoint)
        return self.once(key, lambda: aggregate_posterior.moments(self.model(model, checkpoint, "cpu")[0], data))

    def examples(self, model: Model, checkpoint: Path, data: Dataset, count: int) -> Tensor:
        """Return draws of the aggregate posterior for the first `count` samples, computed on the CPU: (count, d).

        Raises:
            UnusableError: as `model`.
        """
        key = "examples", count, data.name, data.sha256, *_model_state(model, checkpoint)
        vae = self.model(model, checkpoint, "cpu")[0]
        return self.once(key, lambda: aggregate_posterior.examples(vae, data, count))

    def once(self, key: tuple[Any, ...], read: Callable[[], Any]) -> Any:
        """Return what `read` gives, which is kept with the last few of its kind, the first element of the key."""
        if key not in self._cached:
            self._cached[key] = read()
            for oldest in [k for k in self._cached if k[0] == key[0] != "sha256"][:-CACHED]:
                del self._cached[oldest]
        return self._cached[key]


def _write_counts(data: Dataset) -> list[int]:
    """Return torch's counts of in-place writes to the images."""
    return [images._version for images in (data.train, data.valid, data.test)]


def _model_state(model: Model, checkpoint: Path) -> tuple[Any, ...]:
    """Return a value that changes with the model's code or weights."""
    if model.external:
        return model.name, fingerprint(model, checkpoint)
    return model.arch, *_file_state(checkpoint)


def _file_state(path: Path) -> tuple[Any, ...]:
    """Return a value that changes when the file is replaced or written."""
    status = path.stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
