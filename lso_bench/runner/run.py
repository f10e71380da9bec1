"""Execution of one run: build what a spec names, run the search, return the record."""

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
from lso_bench.errors import PluginError, UsageError, unknown
from lso_bench.record import Record, SearchResult
from lso_bench.runner import identity
from lso_bench.runner.cache import Loaded
from lso_bench.runner.diagnostics import baseline_on_test_set, diagnose
from lso_bench.runner.divergence import cause
from lso_bench.runner.identity import UNKNOWN, Identity
from lso_bench.runner.loop import Progress, Search, drive
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.scores import targets_of
from lso_bench.runner.starting_codes import starting_latents
from lso_bench.runner.stopping import Thresholds
from lso_bench.search import SEARCHERS, Problem, Searcher, region
from lso_bench.search import starts as starts_of
from lso_bench.search.clock import Clock
from lso_bench.search.space import DECODINGS, Space
from lso_bench.spec import Spec
from lso_bench.task import TASKS, Task
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.data import Dataset, as_model_input
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.model import VAE

POSTERIOR_DRAWS = 5000  # draws from the aggregate posterior, for its quantiles


@dataclass(frozen=True)
class Placement:
    """Machine settings of a run, which are not part of its identity."""

    data_dir: Path | None = None  # None: `lso_bench.vae.data.data_folder()`
    device: str = "cpu"
    compile: bool = False  # compile the decoder by torch.compile
    capture: bool = False  # decode and score as a CUDA graph; GPU only


@dataclass(frozen=True)
class _RunContext:
    """Objects that a spec names."""

    spec: Spec
    task: Task
    space: Space
    instances: Tensor  # instance of each member
    device: str

    @property
    def task_of_all(self) -> Task:
        with plugin_errors("task", self.task):
            return self.task.at(self.instances.to(self.device))


def run(
    spec: Spec,
    checkpoint: Path,
    placement: Placement = Placement(),
    report: Callable[[Progress], None] = lambda _: None,
    loaded: Loaded | None = None,
    planned: Identity = UNKNOWN,
) -> Record:
    """Execute `spec` with the weights in the file `checkpoint`, and return the record.

    `loaded` holds data and models that need not be read again.

    Raises:
        UsageError: searcher and task do not fit together.
        UnusableError: data or checkpoint are missing or damaged; or they, or the code of task
            and searcher, are not those that the run was planned with.
    """
    started, device, loaded = time.perf_counter(), placement.device, loaded or Loaded()
    if loaded.sha256(checkpoint) != spec.checkpoint:
        raise identity.changed(str(checkpoint))
    identity.check_files(spec)
    torch.backends.cudnn.allow_tf32 = False  # TF32 is too coarse for small thresholds
    vae, header = loaded.model(checkpoint, device, spec.model.arch)
    task, searcher = TASKS.build(spec.task), SEARCHERS.build(spec.searcher)
    identity.check(spec, planned, task, searcher)
    check_fit(spec, task, searcher)
    data = loaded.data(task.data, placement.data_dir, planned.data)
    context = _build_context(spec, task, vae, data, placement)
    with torch.random.fork_rng():
        problem = _problem(context, data)
        torch.manual_seed(spec.seeds.search)
        search = drive(spec, context.space, context.task, context.instances.to(device), searcher, problem, report)
    identity.check_late_imports(spec, task, searcher)
    seconds = problem.clock.seconds | {"total": time.perf_counter() - started}
    hashes = {"data_sha256": data.sha256, "trained_on_sha256": header.get("data_sha256")}
    code = TASKS.code_version(spec.task, task) | SEARCHERS.code_version(spec.searcher, searcher)
    versions = hashes | code | versions_of(placement)
    record = _record(context, search, problem.counts, seconds, versions)
    return replace(record, usual=baseline_on_test_set(context.task, data.test.to(device)))


def _build_context(spec: Spec, task: Task, vae: VAE, data: Dataset, placement: Placement) -> _RunContext:
    with plugin_errors("task", task):
        task = task.bind(data.test.to(placement.device))
        instances = torch.arange(task.instances).repeat(len(spec.starts))
        task_of_members = task.at(instances.to(placement.device))
    targets = targets_of(task_of_members)
    space = Space(vae, spec.decoding, targets, spec.seeds.search, placement.compile, placement.capture)
    return _RunContext(spec, task, space, instances, placement.device)


def _problem(context: _RunContext, data: Dataset) -> Problem:
    """Return the input of the searcher; starts outside the region are moved inside."""
    spec, task, space, device = context.spec, context.task, context.space, context.device
    starts = torch.cat([starting_latents(s, spec.seeds.init, task, space, data) for s in spec.starts])
    if not starts.isfinite().all():
        raise PluginError(f"model {spec.model.name}: its encoder gives starts that are not finite; look at its weights")

    def posterior() -> Tensor:
        generator = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(data.train), generator=generator)[:POSTERIOR_DRAWS]
        q = space.posterior(as_model_input(data.train[chosen], data.likelihood, generator).to(device))
        return q.mean + q.stddev * torch.randn(q.mean.shape, generator=generator).to(device)

    search_region = region.build(spec.region, space.latent, posterior, device)
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    inside = search_region.clip(starts)
    moved = int(((inside - starts).abs() > 1e-6).any(-1).any(-1).sum())
    return Problem(
        inside, search_region, spec.seeds.search, Clock(synchronize), {"moved_starts": moved} if moved else {}
    )


def check_fit(spec: Spec, task: Task, searcher: Searcher) -> None:
    """Refuse a spec whose parts do not fit together.

    Raises:
        UsageError: says what does not fit, and what does.
    """
    if task.data != spec.model.data and DATASETS.canonical(task.data) != spec.model.data:
        raise UsageError(
            f"Task {spec.task!r} scores {task.data}, and the model was trained on {spec.model.data}; "
            f"leave the model's data set out, or say {task.data}."
        )
    _check_decoding(spec, task)
    starts_of.check(spec.starts, task.has_targets, task.instances)
    name = spec.searcher_name
    if searcher.needs_gradient and not (task.differentiable and spec.decoding in ("teacher", "mean")):
        without_gradient = f"decoding {spec.decoding!r}" if task.differentiable else f"task {spec.task!r}"
        raise UsageError(
            f"Searcher {name!r} needs gradients, and {without_gradient} gives none; choose cmaes, bo, turbo or sobol."
        )
    if searcher.bounded and spec.region == "none":
        raise UsageError(f"Searcher {name!r} wants a bounded region; say --region box:3.")
    with plugin_errors("searcher", searcher):
        needed = searcher.design(spec.model.latent)
    design = max(needed, starts_of.parse(spec.starts[0], task.has_targets)[1])
    if spec.budget is not None and spec.budget < design:
        raise UsageError(f"Searcher {name!r} begins with {design} evaluations; --budget {spec.budget} is less.")


def _check_decoding(spec: Spec, task: Task) -> None:
    autoregressive = ARCHITECTURES.build(spec.model.arch).autoregressive
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
    context: _RunContext, search: Search, counts: dict[str, int], seconds: dict[str, float], versions: dict[str, Any]
) -> Record:
    spec, space, task, z = context.spec, context.space, context.task_of_all, search.z.to(context.device)
    counts = counts | {"decodes": space.decodes}  # decodes of the search
    starts = [s for s in spec.starts for _ in range(context.task.instances)]
    keys = pd.DataFrame({"start": starts, "instance": context.instances.tolist()})
    trace = pd.concat(keys.assign(step=step, loss=loss.tolist()) for step, loss in search.trace)
    tensors = {"z": search.z, "z_met": search.thresholds.z_at_threshold}
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        x = space.decode(z.unsqueeze(1)).squeeze(1)
        diagnostics = diagnose(space, task, z, x)
    tensors["decoded"] = _to_bytes(x)
    if (targets := targets_of(context.task)) is not None:
        tensors["targets"] = _to_bytes(targets)
    diverged = ~search.loss.isfinite()
    error = cause(space, task, z, diverged.to(z.device), spec.model.name) if diverged.any() else None
    evaluations = {"steps": int(search.steps.max()), "evaluations": int(search.evaluations.sum())}
    return Record(
        spec,
        "diverged" if error else "ok",
        _members(starts, context.instances, search, diagnostics),
        evaluations | {"gradients": search.gradients} | counts,
        seconds,
        versions,
        error,
        joint=dict(zip(spec.starts, _steps_to_threshold(search.mean_convergence), strict=True)),
        trace=trace.reindex(columns=["step", "start", "instance", "loss"]),
        costs=pd.DataFrame(search.costs, columns=["step", "evaluations", "seconds"]),
        tensors=tensors,
    )


def _members(
    starts: list[str], instances: Tensor, search: Search, diagnostics: list[dict[str, Any]]
) -> list[SearchResult]:
    columns = {
        "start": starts,
        "instance": instances.tolist(),
        "first_loss": search.trace[0][1].tolist(),
        "loss": search.loss.tolist(),
        "steps": search.steps.tolist(),
        "met": _steps_to_threshold(search.thresholds),
        "distance_to_prior": search.z.norm(dim=-1).tolist(),
        "best": search.best.tolist(),
        "evaluations": search.evaluations.tolist(),
        "stopped": search.stop_reason,
    }
    rows = zip(zip(*columns.values(), strict=True), diagnostics, strict=True)
    return [SearchResult(**dict(zip(columns, row, strict=True)), **diagnosis) for row, diagnosis in rows]


def _steps_to_threshold(thresholds: Thresholds) -> list[list[int | None]]:
    return [[step if step >= 0 else None for step in row] for row in thresholds.step_at_threshold.tolist()]


def versions_of(placement: Placement) -> dict[str, Any]:
    """Return the versions of code and machine, for the record."""
    return {
        "lso_bench": lso_bench.__version__,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(placement.device) if placement.device.startswith("cuda") else "cpu",
        "compiled": placement.compile,
        "captured": placement.capture,
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }


def _to_bytes(images: Tensor) -> Tensor:
    """Convert images to grey levels 0..255, which are small to store."""
    return (images * 255).round().to(torch.uint8).cpu()
