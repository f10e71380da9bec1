"""Data sets and frozen models, read once for all runs of a process while their files stay as they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lso_bench.errors import UnusableError
from lso_bench.vae.checkpoint import load_model, sha256
from lso_bench.vae.data import Dataset, data_folder, file_name, load
from lso_bench.vae.frozen import freeze
from lso_bench.vae.model import VAE

KEPT = 4  # data sets and models at most: the largest data set takes 50 MB


class Loaded:
    """What the runs of one process have read so far."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Any] = {}

    def data(self, name: str, folder: Path | None, planned: str = "") -> Dataset:
        """As `vae.data.load`. Runs share it; where one wrote into its images, it is read again for the next.

        `planned`: what `vae.data.file_name` gave for it when the run was planned; empty: not known.

        Raises:
            ValueError, vae.errors.UnusableError: as there.
            UnusableError: its files have changed since then.
        """

        def read() -> tuple[Dataset, list[int]]:
            data = load(name, folder)
            if file_name(name) != files:
                raise UnusableError(f"Data set {name!r} has changed while it was read; run the command again.")
            return data, _writings(data)

        files = file_name(name)
        if planned and files != planned:
            raise UnusableError(f"Data set {name!r} has changed since the run was planned; run the command again.")
        key = "data", name, files, folder or data_folder()
        data, before = self._once(key, read)
        if _writings(data) != before:
            del self._kept[key]
            data, _ = self._once(key, read)
        return data

    def sha256(self, checkpoint: Path) -> str:
        """Of the file's content."""
        return self._once(("sha256", *_state(checkpoint)), lambda: sha256(checkpoint))

    def model(self, checkpoint: Path, device: str) -> tuple[VAE, dict[str, Any]]:
        """The frozen model and the header of the file.

        Raises:
            vae.errors.UnusableError: as `vae.checkpoint.load_model`.
        """

        def read() -> tuple[VAE, dict[str, Any]]:
            vae, header = load_model(checkpoint)
            return freeze(vae).to(device), header

        return self._once(("model", device, *_state(checkpoint)), read)

    def _once(self, key: tuple[Any, ...], read: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = read()
            for oldest in [k for k in self._kept if k[0] == key[0] != "sha256"][:-KEPT]:
                del self._kept[oldest]
        return self._kept[key]


def _writings(data: Dataset) -> list[int]:
    """How often its images were written into, as torch counts it."""
    return [images._version for images in (data.train, data.valid, data.test)]


def _state(path: Path) -> tuple[Any, ...]:
    """Changes whenever the file is replaced or written."""
    at = path.stat()
    return path, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns
