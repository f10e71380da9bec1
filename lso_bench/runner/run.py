"""One run: build what a spec names, drive the search, give the record."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

import lso_bench
from lso_bench import starts as starts_of
from lso_bench.errors import PluginError, UsageError, unknown
from lso_bench.plugins import identity, registry
from lso_bench.plugins.calls import named
from lso_bench.plugins.identity import UNKNOWN, Identity
from lso_bench.record import Record, SearchResult
from lso_bench.runner.cache import Loaded
from lso_bench.runner.diagnostics import noted, usual
from lso_bench.runner.divergence import cause
from lso_bench.runner.loop import Progress, Search, drive
from lso_bench.runner.scores import targets_of
from lso_bench.runner.starting_codes import codes
from lso_bench.runner.stopping import Thresholds
from lso_bench.search import Problem, Searcher, region
from lso_bench.search.clock import Clock
from lso_bench.search.space import DECODINGS, Space
from lso_bench.spec import Spec
from lso_bench.task import Task
from lso_bench.vae import data as datasets
from lso_bench.vae.data import Dataset, shown
from lso_bench.vae.model import VAE
from lso_bench.vae.networks import architecture
from lso_bench.vae.notation import name_of

POSTERIOR_DRAWS = 5000  # of the aggregate posterior, for its quantiles


@dataclass(frozen=True)
class Place:
    """Where and how a run is done; no part of what it is."""

    data_dir: Path | None = None  # None: as `vae.data.data_folder` says
    device: str = "cpu"
    compile: bool = False  # the decoder, by torch.compile
    capture: bool = False  # decoding and scoring as a CUDA graph; on a GPU only


@dataclass(frozen=True)
class _Made:
    """What a spec names, built."""

    spec: Spec
    task: Task
    space: Space
    instances: Tensor  # of each member
    device: str

    @property
    def task_of_all(self) -> Task:
        with named("task", self.task):
            return self.task.at(self.instances.to(self.device))


def run(
    spec: Spec,
    checkpoint: Path,
    place: Place = Place(),
    report: Callable[[Progress], None] = lambda _: None,
    loaded: Loaded | None = None,
    planned: Identity = UNKNOWN,
) -> Record:
    """The record of `spec`, with the weights in the file `checkpoint`; what is `loaded` already is not read again.

    Raises:
        UsageError: searcher and task do not fit together.
        UnusableError, vae.errors.UnusableError: data or checkpoint missing, damaged or, like the code of task and
            searcher, not what the run was planned with.
    """
    started, device, loaded = time.perf_counter(), place.device, loaded or Loaded()
    if loaded.sha256(checkpoint) != spec.checkpoint:
        raise identity.changed(str(checkpoint))
    identity.check_files(spec)
    torch.backends.cudnn.allow_tf32 = False  # small thresholds are read off the loss
    vae, header = loaded.model(checkpoint, device)
    task, searcher = registry.build("task", spec.task), registry.build("searcher", spec.searcher)
    identity.check(spec, planned, task, searcher)
    check_fit(spec, task, searcher)
    data = loaded.data(task.data, place.data_dir, planned.data)
    made = _made(spec, task, vae, data, place)
    with torch.random.fork_rng():
        problem = _problem(made, data)
        torch.manual_seed(spec.seeds.search)
        found = drive(spec, made.space, made.task, made.instances.to(device), searcher, problem, report)
    identity.check_late_imports(spec, task, searcher)
    seconds = problem.clock.seconds | {"total": time.perf_counter() - started}
    hashes = {"data_sha256": data.sha256, "trained_on_sha256": header.get("data_sha256")}
    code = registry.origin_of("task", spec.task, task) | registry.origin_of("searcher", spec.searcher, searcher)
    versions = hashes | code | versions_of(place)
    record = _record(made, found, problem.counts, seconds, versions)
    return replace(record, usual=usual(made.task, data.test.to(device)))


def _made(spec: Spec, task: Task, vae: VAE, data: Dataset, place: Place) -> _Made:
    with named("task", task):
        task = task.bind(data.test.to(place.device))
        instances = torch.arange(task.instances).repeat(len(spec.starts))
        of_all = task.at(instances.to(place.device))
    targets = targets_of(of_all)
    space = Space(vae, spec.decoding, targets, spec.seeds.search, place.compile, place.capture)
    return _Made(spec, task, space, instances, place.device)


def _problem(made: _Made, data: Dataset) -> Problem:
    """What the searcher is told; starts outside the region are brought inside."""
    spec, task, space, device = made.spec, made.task, made.space, made.device
    starts = torch.cat([codes(s, spec.seeds.init, task, space, data) for s in spec.starts])
    if not starts.isfinite().all():
        raise PluginError(f"model {spec.model.name}: its encoder gives starts that are not finite; look at its weights")

    def posterior() -> Tensor:
        seeded = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(data.train), generator=seeded)[:POSTERIOR_DRAWS]
        q = space.posterior(shown(data.train[chosen], data.likelihood, seeded).to(device))
        return q.mean + q.stddev * torch.randn(q.mean.shape, generator=seeded).to(device)

    where = region.build(spec.region, space.latent, posterior, device)
    settle = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    inside = where.clip(starts)
    moved = int(((inside - starts).abs() > 1e-6).any(-1).any(-1).sum())
    return Problem(inside, where, spec.seeds.search, Clock(settle), {"moved_starts": moved} if moved else {})


def check_fit(spec: Spec, task: Task, searcher: Searcher) -> None:
    """Refuse a spec that cannot be run.

    Raises:
        UsageError: says what does not fit, and what does.
    """
    if task.data != spec.model.data and datasets.canonical(task.data) != spec.model.data:
        raise UsageError(
            f"Task {spec.task!r} scores {task.data}, and the model was trained on {spec.model.data}; "
            f"leave the model's data set out, or say {task.data}."
        )
    _check_decoding(spec, task)
    starts_of.check(spec.starts, task.has_targets, task.instances)
    name = name_of(spec.searcher)
    if searcher.needs_gradient and not (task.differentiable and spec.decoding in ("teacher", "mean")):
        flat = f"decoding {spec.decoding!r}" if task.differentiable else f"task {spec.task!r}"
        raise UsageError(f"Searcher {name!r} needs gradients, and {flat} gives none; choose cmaes, bo, turbo or sobol.")
    if searcher.bounded and spec.region == "none":
        raise UsageError(f"Searcher {name!r} wants a bounded region; say --region box:3.")
    with named("searcher", searcher):
        first = searcher.design(spec.model.latent)
    design = max(first, starts_of.parse(spec.starts[0], task.has_targets)[1])
    if spec.budget is not None and spec.budget < design:
        raise UsageError(f"Searcher {name!r} begins with {design} evaluations; --budget {spec.budget} is less.")


def _check_decoding(spec: Spec, task: Task) -> None:
    autoregressive = bool(architecture(spec.model.arch, spec.model.latent).kernels)
    if spec.decoding not in DECODINGS:
        raise unknown("decoding", spec.decoding, list(DECODINGS))
    if spec.decoding == ("mean" if autoregressive else "teacher"):
        kind = "is" if autoregressive else "is not"
        raise UsageError(
            f"Decoding {spec.decoding!r} is not for --arch {spec.model.arch}, which {kind} autoregressive."
        )
    if spec.decoding == "teacher" and not task.has_targets:
        raise UsageError(
            f"Task {spec.task!r} has no images for the autoregressive decoder of {spec.model.arch!r} to be conditioned "
            "on; say --decoding sample, or --arch conv."
        )


def _record(
    made: _Made, found: Search, counts: dict[str, int], seconds: dict[str, float], versions: dict[str, Any]
) -> Record:
    spec, space, task, z = made.spec, made.space, made.task_of_all, found.z.to(made.device)
    counts = counts | {"decodes": space.decodes}  # of the search
    starts = [s for s in spec.starts for _ in range(made.task.instances)]
    keys = pd.DataFrame({"start": starts, "instance": made.instances.tolist()})
    trace = pd.concat(keys.assign(step=step, loss=loss.tolist()) for step, loss in found.trace)
    tensors = {"z": found.z, "z_met": found.thresholds.codes}
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        x = space.decode(z.unsqueeze(1)).squeeze(1)
        beside = noted(space, task, z, x)
    tensors["decoded"] = _bytes(x)
    if (targets := targets_of(made.task)) is not None:
        tensors["targets"] = _bytes(targets)
    lost = ~found.loss.isfinite()
    why = cause(space, task, z, lost.to(z.device), spec.model.name) if lost.any() else None
    evaluations = {"steps": int(found.steps.max()), "evaluations": int(found.evaluations.sum())}
    return Record(
        spec,
        "diverged" if why else "ok",
        _members(starts, made.instances, found, beside),
        evaluations | {"gradients": found.gradients} | counts,
        seconds,
        versions,
        why,
        joint=dict(zip(spec.starts, _met(found.joint), strict=True)),
        trace=trace.reindex(columns=["step", "start", "instance", "loss"]),
        costs=pd.DataFrame(found.costs, columns=["step", "evaluations", "seconds"]),
        tensors=tensors,
    )


def _members(starts: list[str], instances: Tensor, found: Search, beside: list[dict[str, Any]]) -> list[SearchResult]:
    columns = {
        "start": starts,
        "instance": instances.tolist(),
        "first_loss": found.trace[0][1].tolist(),
        "loss": found.loss.tolist(),
        "steps": found.steps.tolist(),
        "met": _met(found.thresholds),
        "distance_to_prior": found.z.norm(dim=-1).tolist(),
        "best": found.best.tolist(),
        "evaluations": found.evaluations.tolist(),
        "stopped": found.stopped,
    }
    rows = zip(zip(*columns.values(), strict=True), beside, strict=True)
    return [SearchResult(**dict(zip(columns, row, strict=True)), **more) for row, more in rows]


def _met(thresholds: Thresholds) -> list[list[int | None]]:
    return [[step if step >= 0 else None for step in row] for row in thresholds.met.tolist()]


def versions_of(place: Place) -> dict[str, Any]:
    """Return what a record says of the code and the machine that make it."""
    return {
        "lso_bench": lso_bench.__version__,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(place.device) if place.device.startswith("cuda") else "cpu",
        "compiled": place.compile,
        "captured": place.capture,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }


def _bytes(images: Tensor) -> Tensor:
    """Grey levels 0..255, to keep them small."""
    return (images * 255).round().to(torch.uint8).cpu()
