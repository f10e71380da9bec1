"""Execution of one run: build what a spec names, run the search, return the record."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.record import Record
from lso_bench.run_settings import PRIOR
from lso_bench.runner import aggregate_posterior, identity
from lso_bench.runner.cache import Loaded
from lso_bench.runner.diagnostics import baseline_on_test_set
from lso_bench.runner.found_texts import usual_texts
from lso_bench.runner.identity import UNKNOWN, Identity
from lso_bench.runner.loop import Progress, drive
from lso_bench.runner.placement import ON_CPU, Placement, versions_of
from lso_bench.runner.plugin_errors import model_errors, plugin_errors
from lso_bench.runner.recording import RunContext, record_of
from lso_bench.runner.scores import targets_of
from lso_bench.runner.starting_codes import starting_latents
from lso_bench.runner.starting_samples import starting_samples
from lso_bench.runner.validation import check_fit
from lso_bench.search import SEARCHERS, Problem, coordinates, penalty_of, region
from lso_bench.search.clock import Clock
from lso_bench.search.coordinates import AnyCoordinates
from lso_bench.search.sample_space import SampleSpace
from lso_bench.search.space import DTYPES, Space
from lso_bench.spec import Spec
from lso_bench.task import TASKS, Task, stated_invalid_score
from lso_bench.task.nearest_row import TrainingRows
from lso_bench.vae.data import Dataset
from lso_bench.vae.data_path import data_of
from lso_bench.vae.model import LatentModel
from lso_bench.vae.trained_model import Model, training_length


def run(
    spec: Spec,
    checkpoint: Path,
    placement: Placement = ON_CPU,
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
    with model_errors(spec.model):
        if loaded.fingerprint(spec.model, checkpoint) != spec.checkpoint:
            raise identity.changed_model(spec.model, checkpoint)
        vae, header = loaded.model(spec.model, checkpoint, device)
    identity.check_files(spec)
    torch.backends.cudnn.allow_tf32 = False  # TF32 is too coarse for small thresholds
    task, searcher = TASKS.build(spec.task), SEARCHERS.build(spec.searcher)
    identity.check(spec, planned, task, searcher)
    check_fit(spec, task, searcher)
    data = loaded.data(data_of(task), placement.data_dir, planned.data)
    mapping = coordinates_of(spec.space, spec.model, checkpoint, data, loaded)
    context = _build_context(spec, task, vae, data, placement, mapping, loaded.training_rows(task, data))
    with torch.random.fork_rng():
        with model_errors(spec.model):
            problem = (_problem if searcher.space == "latents" else _sample_problem)(context, data)
        if searcher.space == "samples":
            context = replace(context, space=SampleSpace(context.space))
        torch.manual_seed(spec.seeds.search)
        search = drive(spec, context.space, context.task, context.instances.to(device), searcher, problem, report)
    identity.check_late_imports(spec, task, searcher)
    seconds = problem.clock.seconds | {"total": time.perf_counter() - started}
    versions = {"data_sha256": data.sha256, "trained_on_sha256": header.get("data_sha256")} | training_length(header)
    versions |= TASKS.code_version(spec.task, task) | SEARCHERS.code_version(spec.searcher, searcher)
    is_captured = context.space.capture and penalty_of(searcher) == "none"  # a penalty has no CUDA graph
    versions |= versions_of(replace(placement, capture=is_captured))
    record = record_of(context, search, problem.counts, seconds, versions)
    test = data.test.to(device, context.space.dtype)
    usual_text = loaded.once(
        ("usual texts", spec.task, spec.source, data.sha256), lambda: usual_texts(context.task, test, context.rows)
    )
    return replace(record, usual=record.usual | baseline_on_test_set(context.task, test) | usual_text)


def coordinates_of(space: str, model: Model, checkpoint: Path, data: Dataset, loaded: Loaded) -> AnyCoordinates | None:
    """Return the coordinates of a space in the model of a checkpoint; None if they are z.

    Raises:
        UsageError, PluginError: as `lso_bench.search.coordinates.build`.
        UnusableError: as `Loaded.model`.
    """
    if space == PRIOR:
        return None
    examples = partial(loaded.examples, model, checkpoint, data)
    return coordinates.build(space, loaded.moments(model, checkpoint, data), examples)


def _build_context(
    spec: Spec,
    task: Task,
    vae: LatentModel,
    data: Dataset,
    placement: Placement,
    mapping: AnyCoordinates | None,
    rows: TrainingRows | None,
) -> RunContext:
    dtype = DTYPES[spec.precision]
    with plugin_errors("task", task):
        stated_invalid_score(task)
        task = task.bind(data.test.to(placement.device, dtype))
        instances = torch.arange(task.instances).repeat(len(spec.starts))
        task_of_members = task.at(instances.to(placement.device))
    targets = targets_of(task_of_members)
    speed = placement.compile, placement.capture
    space = Space(vae, spec.decoding, targets, spec.seeds.search, *speed, dtype, mapping)
    return RunContext(spec, task, space, instances, placement.device, rows)


def _problem(context: RunContext, data: Dataset) -> Problem:
    """Return the input of the searcher; starts outside the region are moved inside."""
    spec, task, space, device = context.spec, context.task, context.space, context.device
    starts = torch.cat([starting_latents(s, spec.seeds.init, task, space, data) for s in spec.starts]).to(space.dtype)
    _check_finite(starts, spec)
    search_region = region.build(spec.region, space.latent, lambda: aggregate_posterior.draws(space, data), device)
    inside = search_region.clip(starts)
    moved = int(((inside - starts).abs() > 1e-6).any(-1).any(-1).sum())
    counts = {"moved_starts": moved, "flat_dimensions": space.coordinates.raised if space.coordinates else 0}
    nonzero = {name: count for name, count in counts.items() if count}
    return Problem(
        inside,
        search_region,
        spec.seeds.search,
        _clock(device),
        nonzero,
        space=space,
        data=spec.model.data,
        budget=spec.budget,
    )


def _sample_problem(context: RunContext, data: Dataset) -> Problem:
    """Return the input of a searcher whose points are samples."""
    spec = context.spec
    starts, samples = starting_samples(spec.starts, spec.seeds.init, context.task, context.space, data)
    _check_finite(starts, spec)
    clock = _clock(context.device)
    return Problem(starts, seed=spec.seeds.search, clock=clock, samples=samples, budget=spec.budget)


def _check_finite(starts: Tensor, spec: Spec) -> None:
    if not starts.isfinite().all():
        raise PluginError(f"model {spec.model.name}: its encoder gives starts that are not finite; look at its weights")


def _clock(device: str) -> Clock:
    return Clock(torch.cuda.synchronize if device.startswith("cuda") else lambda: None)
