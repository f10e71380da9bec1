"""Worker on another machine: does runs whose files it may see or not."""

import hashlib
import os
import signal
import socket
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import lso_bench
from lso_bench.errors import EndedError, UnusableError
from lso_bench.executors.worker import attempt, settle, work
from lso_bench.files.paths import cache_folder
from lso_bench.plugins.notation import parse
from lso_bench.record import Record
from lso_bench.runner.cache import Loaded
from lso_bench.runner.placement import Placement
from lso_bench.spec import Spec
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun

Files = dict[str, bytes]  # files of a plugin, content by name: its own, then those beside it that it imports


@dataclass(frozen=True)
class Job:
    """A run, and the files and entries that it needs."""

    planned: PlannedRun
    place: Placement
    provenance: dict[str, Any]  # entries for the versions of its record
    sources: dict[str, Files]  # files of plugins given by path, by that path


@dataclass(frozen=True)
class WorkerInfo:
    """Information about a worker and its machine."""

    host: str
    pid: int
    version: str  # of lso-bench
    shared: bool  # whether the worker can write to the results folder


@dataclass(frozen=True)
class MissingWeights:
    """Answer of a worker that lacks the weights of a run."""


class Worker:
    """Worker that does one run after the other, in a process of its own."""

    def __init__(self) -> None:
        self._loaded = Loaded()
        self._store: Store | None = None

    def handshake(self, marker: Path, threads: int, memory: int | None) -> WorkerInfo:
        """Set up the worker; return information about it.

        Args:
            marker: a folder in tmp/ of the results, which exists only on the same file system.
        """
        settle(threads, memory)
        _end_on_sigterm()
        if marker.is_dir():
            try:
                self._store = Store(marker.parents[1])
                heartbeat.clear(self._store.folder)  # heartbeats of dead processes of this machine
            except UnusableError:
                pass  # a read-only folder counts as not shared
        return WorkerInfo(socket.gethostname(), os.getpid(), lso_bench.__version__, self._store is not None)

    def run(self, job: Job, weights: bytes | None = None) -> Record | MissingWeights:
        """Return the record: published and without trace and tensors if the folder is shared, else complete.

        Raises:
            UnusableError: as for `lso_bench.executors.worker.work`.
        """
        spec, place = job.planned.spec, job.place
        if (checkpoint := self._checkpoint(job.planned, weights)) is None:
            return MissingWeights()
        if place.data_dir and not place.data_dir.is_dir():
            place = replace(place, data_dir=None)  # the data folder of this machine
        local_copy = replace(job.planned, spec=_localise_spec(spec, job.sources), checkpoint=checkpoint)
        try:
            if self._store is not None:
                return work(job.planned, self._store, place, self._loaded, job.provenance, local_copy)
            record = attempt(local_copy, place, self._loaded, lambda _: None)
        except EndedError:
            raise
        except SystemExit as error:  # raised by a plugin
            record = Record(spec, "failed", error=f"SystemExit: {error}")
        return replace(record, spec=spec, versions=record.versions | job.provenance)

    def _checkpoint(self, planned: PlannedRun, weights: bytes | None) -> Path | None:
        """Return the path of the weights on this machine; None if they are missing."""
        model, sha256 = planned.spec.model, planned.spec.checkpoint
        if model.external:
            return planned.checkpoint  # its code and weights came with the job
        received = cache_folder() / "sent" / f"{sha256}.safetensors"
        if weights is not None:
            _write(received, weights)
        for path in (planned.checkpoint, received):
            if path.is_file() and self._loaded.fingerprint(model, path) == sha256:
                return path
        return None


def _end_on_sigterm() -> None:
    """Let SIGTERM end this process also in a plugin's code, where `SystemExit` of Ray counts as the plugin's error."""
    ray_handler = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: FrameType | None) -> None:
        ended = EndedError(128 + number)
        try:
            if callable(ray_handler):
                ray_handler(number, frame)
        except SystemExit as error:
            vars(ended).update(vars(error))  # Ray's notes for itself
        raise ended

    signal.signal(signal.SIGTERM, end)


def _localise_spec(spec: Spec, sources: dict[str, Files]) -> Spec:
    """Return the same spec with the paths of its files on this machine."""
    texts = spec.task, spec.searcher, spec.model.name, spec.model.arch
    task, searcher, name, arch = (_localise(text, sources) for text in texts)
    return replace(spec, task=task, searcher=searcher, model=replace(spec.model, name=name, arch=arch))


def _localise(text: str, sources: dict[str, Files]) -> str:
    """Return the text of a plugin with the path of its file on this machine, where it is a file."""
    choice = parse(text)
    if choice.name not in sources:
        return text
    file = _write_sources(sources[choice.name]) / Path(choice.name).name
    return str(choice._replace(name=str(file)))


def _write_sources(files: Files) -> Path:
    """Write files to a folder of this machine, and return it; modules beside a plugin become importable."""
    hashes = [(name, hashlib.sha256(content).hexdigest()) for name, content in sorted(files.items())]
    digest = hashlib.sha256(repr(hashes).encode()).hexdigest()[:16]
    folder = cache_folder().absolute() / "sent" / digest
    for name, content in files.items():
        if not (folder / name).is_file():
            _write(folder / name, content)
    if len(files) > 1 and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def _write(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    temporary.write_bytes(content)
    temporary.replace(path)
