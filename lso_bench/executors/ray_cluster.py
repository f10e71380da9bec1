"""Runs on the machines of a Ray cluster, with workers that do one run after the other."""

import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from lso_bench.errors import UnusableError
from lso_bench.executors import Attempt, ExecutionOptions, Queue
from lso_bench.executors.ray_connection import connected
from lso_bench.executors.ray_workers import RayPool
from lso_bench.executors.remote_worker import Files, Job, MissingWeights
from lso_bench.executors.worker import outcome, publish
from lso_bench.files import safe_read
from lso_bench.files.paths import data_folder
from lso_bench.limits import cores
from lso_bench.plugins import code_version
from lso_bench.plugins.notation import name_of
from lso_bench.plugins.sources import beside, read_source
from lso_bench.record import Record
from lso_bench.runner.identity import changed
from lso_bench.runner.placement import Placement
from lso_bench.store import heartbeat
from lso_bench.store.store import Store
from lso_bench.study.grid import PlannedRun
from lso_bench.vae import checkpoint, external_model
from lso_bench.vae.trained_model import Model

LARGEST_SENT = 1 << 30  # bytes of a file of weights that goes with each run


def cluster(planned: Sequence[PlannedRun], store: Store, options: ExecutionOptions) -> Iterator[Record]:
    """Yield the record of each finished run, on the cluster at `options.address`.

    Workers publish directly if they see the results folder, and send their records otherwise. Likewise they read
    weights in place, or receive them. A run whose worker or machine is gone is tried again. A run that exceeds the time
    limit is killed.

    Raises:
        UsageError, UnusableError: as for `connected`; or a worker cannot go on.
    """
    heartbeat.clear(store.folder)
    queue, sources = Queue(planned, store, options.say), _sources(planned)
    cpus = options.jobs * options.threads or cores()
    with connected(options.address or "local", cpus) as ray, _marker_folder(store.folder) as marker:
        options, sent_weights = replace(options, place=_resolve_place(options.place, ray)), {}
        pool = RayPool(ray, options, marker)
        try:
            while queue or pool.busy:
                pool.scale(len(queue))
                while pool.idle and (attempt := queue.take()):
                    pool.submit(_job(attempt, options, sources), attempt)
                if pool.idle and not pool.busy:
                    queue.wait()
                for attempt, answer, published in pool.finished():
                    if isinstance(answer, MissingWeights):
                        pool.submit(
                            _job(attempt, options, sources), attempt, _weights(ray, attempt.planned, sent_weights)
                        )
                    elif isinstance(answer, Record) and not published:
                        yield publish(answer, store)
                    elif (record := outcome(answer, attempt, store, options)) is not None:
                        yield record
                    else:
                        queue.requeue(attempt)
        finally:
            pool.stop()


def _job(attempt: Attempt, options: ExecutionOptions, sources: dict[str, Files]) -> Job:
    planned = attempt.planned
    needed = {name: sources[name] for name in _plugin_files(planned)}
    planned = replace(planned, checkpoint=planned.checkpoint.absolute())
    return Job(planned, options.place, attempt.provenance(options.isolation), needed)


def _sources(planned: Sequence[PlannedRun]) -> dict[str, Files]:
    """Return the files of plugins that were given by path.

    Raises:
        UnusableError: a file does not exist any more.
    """
    sources = {name: _files(Path(name)) for name in dict.fromkeys(name for p in planned for name in _plugin_files(p))}
    for model in {p.spec.model for p in planned if p.spec.model.external}:
        if (file := name_of(model.name)) in sources:  # else a package has it, with its weights
            sources[file] |= _weight_files(model)
    return sources


def _plugin_files(planned: PlannedRun) -> list[str]:
    """Return the paths of the plugins of a run that are given by path."""
    spec = planned.spec
    return code_version.files(spec.task, spec.searcher, spec.model.name if spec.model.external else spec.model.arch)


def _weight_files(model: Model) -> Files:
    """Return the weights of a model from outside, by their names beside its file.

    Raises:
        UnusableError: a file cannot be read, or lies elsewhere, where no other machine finds it.
    """
    name, plugin = model.name, external_model.build(model.name, model.seed)
    folder = external_model.file_of(plugin).parent
    try:
        if outside := [f for f in plugin.files if not (folder / f).resolve().is_relative_to(folder.resolve())]:
            raise UnusableError(f"Model {name!r}: wanted weights beside its file, to send them, got {outside[0]}.")
        return {file: safe_read.content(folder / file, LARGEST_SENT) for file in plugin.files}
    except OSError as error:
        raise changed(name) from error
    except ValueError as error:
        raise UnusableError(f"Model {name!r}: its weights cannot be sent to a cluster: {error}.") from error


def _files(path: Path) -> Files:
    try:
        content = read_source(path)
        return {path.name: content} | beside(path, content)
    except OSError as error:
        raise changed(str(path)) from error


def _weights(ray: Any, planned: PlannedRun, sent_weights: dict[str, Any]) -> Any:
    """Return a reference to the bytes of the checkpoint, which are sent once for all workers."""
    if planned.spec.checkpoint not in sent_weights:
        sent_weights[planned.spec.checkpoint] = ray.put(checkpoint.content(planned.checkpoint))
    return sent_weights[planned.spec.checkpoint]


def _resolve_place(place: Placement, ray: Any) -> Placement:
    """Choose the device, if it is left to the cluster, and make the data folder an absolute path."""
    device = place.device
    if device == "auto":
        device = "cuda" if ray.cluster_resources().get("GPU") else "cpu"
    folder = place.data_dir or (data_folder() if os.environ.get("LSO_BENCH_DATA") else None)
    folder = folder and folder.absolute()
    return replace(place, device=device, capture=place.capture and device == "cuda", data_dir=folder)


@contextmanager
def _marker_folder(folder: Path) -> Iterator[Path]:
    """Create a folder with a unique name in tmp/ while the body runs; a leftover is swept later."""
    marker = folder.absolute() / "tmp" / f"shared.{uuid.uuid4().hex}"
    marker.mkdir()
    try:
        yield marker
    finally:
        shutil.rmtree(marker, ignore_errors=True)
