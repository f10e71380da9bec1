"""What a worker on another machine does: runs, whose files it may see or not."""

import hashlib
import os
import socket
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lso_bench
from lso_bench.errors import UnusableError
from lso_bench.executors.worker import attempt, settle, work
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.run import Place
from lso_bench.spec import Spec
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.vae.cache import cache_folder
from lso_bench.vae.notation import parse, write

Files = dict[str, bytes]  # of a plugin: its own, then those beside it that it imports; content by name


@dataclass(frozen=True)
class Job:
    """A run, and what it needs besides."""

    planned: PlannedRun
    place: Place
    beside: dict[str, Any]  # among the versions of its record
    sources: dict[str, Files]  # of task and searcher that were given by path, by that path


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker finds where it is."""

    host: str
    pid: int
    version: str  # of lso-bench
    shared: bool  # whether it can write to the results folder itself


@dataclass(frozen=True)
class MissingWeights:
    """The weights are not here: send them."""


class Worker:
    """Does one run after the other, in a process of its own."""

    def __init__(self) -> None:
        self._loaded = Loaded()
        self._store: Store | None = None

    def handshake(self, mark: Path, threads: int, memory: int | None) -> WorkerInfo:
        """What it finds. `mark`: a folder in tmp/ of the results, which only the same file system has."""
        settle(threads, memory)
        if mark.is_dir():
            try:
                self._store = Store(mark.parents[1])
                heartbeat.clear(self._store.folder)  # what died on this machine before
            except UnusableError:
                pass  # to be seen, not to be written: as if it were not here
        return WorkerInfo(socket.gethostname(), os.getpid(), lso_bench.__version__, self._store is not None)

    def run(self, job: Job, weights: bytes | None = None) -> Record | MissingWeights:
        """The record, published without trace and tensors where the folder is shared, else whole.

        Raises:
            UnusableError, vae.errors.UnusableError: as `lso_bench.executors.worker.work`.
        """
        spec, place = job.planned.spec, job.place
        if (checkpoint := self._checkpoint(job.planned, weights)) is None:
            return MissingWeights()
        if place.data_dir and not place.data_dir.is_dir():
            place = replace(place, data_dir=None)  # the data folder of this machine
        local_copy = replace(job.planned, spec=_with_files(spec, job.sources), checkpoint=checkpoint)
        try:
            if self._store is not None:
                return work(job.planned, self._store, place, self._loaded, job.beside, local_copy)
            record = attempt(local_copy, place, self._loaded, lambda _: None)
        except SystemExit as error:  # raised by a plugin
            record = Record(spec, "failed", error=f"SystemExit: {error}")
        return replace(record, spec=spec, versions=record.versions | job.beside)

    def _checkpoint(self, planned: PlannedRun, weights: bytes | None) -> Path | None:
        """Where the weights lie on this machine."""
        wanted = planned.spec.checkpoint
        sent = cache_folder() / "sent" / f"{wanted}.safetensors"
        if weights is not None:
            _write(sent, weights)
        for path in (planned.checkpoint, sent):
            if path.is_file() and self._loaded.sha256(path) == wanted:
                return path
        return None


def _with_files(spec: Spec, sources: dict[str, Files]) -> Spec:
    """The same run, its files where they lie on this machine."""
    texts = {"task": spec.task, "searcher": spec.searcher}
    for kind, text in texts.items():
        name, settings = parse(text)
        if name in sources:
            texts[kind] = write(str(_placed(sources[name]) / Path(name).name), settings)
    return replace(spec, **texts)


def _placed(files: Files) -> Path:
    """The folder of this machine where files lie; what is imported from beside a plugin is found there."""
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]
    folder = cache_folder().absolute() / "sent" / digest
    for name, content in files.items():
        if not (folder / name).is_file():
            _write(folder / name, content)
    if len(files) > 1 and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}")
    part.write_bytes(content)
    part.replace(path)
