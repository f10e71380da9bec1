"""Cache of data sets and frozen models: each is read once for all runs of a process, unless its files change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lso_bench.errors import UnusableError
from lso_bench.runner import aggregate_posterior
from lso_bench.search.coordinates import Moments
from lso_bench.vae.checkpoint import load_model, sha256
from lso_bench.vae.data import Dataset, data_folder, file_name, load
from lso_bench.vae.frozen import freeze
from lso_bench.vae.model import VAE

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
        data, before = self._once(key, read)
        if _write_counts(data) != before:
            del self._cached[key]
            data, _ = self._once(key, read)
        return data

    def sha256(self, checkpoint: Path) -> str:
        """Return the sha256 of the file's content."""
        return self._once(("sha256", *_file_state(checkpoint)), lambda: sha256(checkpoint))

    def model(self, checkpoint: Path, device: str, arch: str = "") -> tuple[VAE, dict[str, Any]]:
        """Return the frozen model and the header of a checkpoint; `arch`: as in `lso_bench.vae.checkpoint.load_model`.

        Raises:
            UnusableError: as `lso_bench.vae.checkpoint.load_model`.
        """

        def read() -> tuple[VAE, dict[str, Any]]:
            vae, header = load_model(checkpoint, arch)
            return freeze(vae).to(device), header

        return self._once(("model", device, arch, *_file_state(checkpoint)), read)

    def moments(self, checkpoint: Path, arch: str, data: Dataset) -> Moments:
        """Return the moments of the aggregate posterior, computed on the CPU, so that they are the same everywhere.

        Raises:
            UnusableError: as `model`.
        """
        key = "moments", arch, data.name, data.sha256, *_file_state(checkpoint)
        return self._once(key, lambda: aggregate_posterior.moments(self.model(checkpoint, "cpu", arch)[0], data))

    def _once(self, key: tuple[Any, ...], read: Callable[[], Any]) -> Any:
        if key not in self._cached:
            self._cached[key] = read()
            for oldest in [k for k in self._cached if k[0] == key[0] != "sha256"][:-CACHED]:
                del self._cached[oldest]
        return self._cached[key]


def _write_counts(data: Dataset) -> list[int]:
    """Return torch's counts of in-place writes to the images."""
    return [images._version for images in (data.train, data.valid, data.test)]


def _file_state(path: Path) -> tuple[Any, ...]:
    """Return a value that changes when the file is replaced or written."""
    status = path.stat()
    return path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
