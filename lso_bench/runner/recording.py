"""Record of a search: final latents, diagnoses of their images, counts and costs."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from lso_bench.record import RETRIEVED, Record, SearchResult
from lso_bench.runner.diagnostics import diagnose, free_running_retrieval
from lso_bench.runner.divergence import cause
from lso_bench.runner.found_texts import found_texts
from lso_bench.runner.loop import Search
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.scores import targets_of
from lso_bench.runner.stopping import Thresholds
from lso_bench.search.space import Space
from lso_bench.spec import Spec
from lso_bench.task import Task
from lso_bench.task.nearest_row import TrainingRows
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.default_architecture import is_of_sequences
from lso_bench.vae.likelihoods.categorical import END
from lso_bench.vae.trained_model import Model


@dataclass(frozen=True)
class RunContext:
    """Objects that a spec names."""

    spec: Spec
    task: Task
    space: Space
    instances: Tensor  # instance of each member
    device: str
    rows: TrainingRows | None = None  # training rows of the task's data, if these are texts

    @property
    def task_of_all(self) -> Task:
        with plugin_errors("task", self.task):
            return self.task.at(self.instances.to(self.device))


def record_of(
    context: RunContext, search: Search, counts: dict[str, int], seconds: dict[str, float], versions: dict[str, Any]
) -> Record:
    """Return the record of a search, without the auxiliary values of test images.

    Args:
        counts: counts of the searcher.
        seconds: seconds by phase.
    """
    spec, space, task, u = context.spec, context.space, context.task_of_all, search.z.to(context.device)
    z, z_met = space.to_z(u), space.to_z(search.thresholds.z_at_threshold.to(context.device))
    counts = counts | _invalid(search) | {"decodes": space.decodes}  # decodes of the search
    starts = [s for s in spec.starts for _ in range(context.task.instances)]
    keys = pd.DataFrame({"start": starts, "instance": context.instances.tolist()})
    trace = pd.concat(keys.assign(step=step, loss=loss.tolist()) for step, loss in search.trace)
    tensors = {"z": z.float().cpu(), "z_met": z_met.float().cpu()}
    if space.coordinates is not None:
        tensors |= {"u": search.z.float().cpu(), "u_met": search.thresholds.z_at_threshold.float().cpu()}
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        x = space.decode(u.unsqueeze(1)).squeeze(1)
        diagnostics = diagnose(space, task, z, x)
        texts = found_texts(task, search.texts, x, context.rows)
        targets = targets_of(context.task)
        retrievals = free_running_retrieval(space, z, targets, context.instances, spec.seeds.search)
    tensors["decoded"] = _storable(x, spec.model, space.vae.bounded)
    if targets is not None:
        tensors["targets"] = _storable(targets, spec.model, space.vae.bounded)
    diverged = ~search.loss.isfinite()
    follows = search.gradients > 0
    error = cause(space, task, u, diverged.to(u.device), spec.model.name, follows) if diverged.any() else None
    evaluations = {"steps": int(search.steps.max()), "evaluations": int(search.evaluations.sum())}
    gradients = {"gradients": search.gradients + counts.get("gradients", 0)}  # of the loop, and of the searcher
    return Record(
        spec,
        "diverged" if error else "ok",
        _members(
            starts,
            context.instances,
            search,
            z.cpu(),
            space.norm(search.z),
            [*map(_merged, diagnostics, texts, retrievals)],
        ),
        evaluations | counts | gradients,
        seconds,
        versions,
        error,
        joint=dict(zip(spec.starts, _steps_to_threshold(search.mean_convergence), strict=True)),
        trace=trace.reindex(columns=["step", "start", "instance", "loss"]),
        costs=pd.DataFrame(search.costs, columns=["step", "evaluations", "seconds"]),
        tensors=tensors,
        usual={RETRIEVED: 1 / len(targets)} if targets is not None and any(retrievals) else {},
    )


def _invalid(search: Search) -> dict[str, int]:
    """Return the evaluations of invalid samples: of texts with those of distinct ones."""
    return search.texts.of_record() or ({"invalid_scores": search.invalid} if search.invalid else {})


def _members(
    starts: list[str],
    instances: Tensor,
    search: Search,
    z: Tensor,
    norms: Tensor,
    diagnostics: list[dict[str, Any]],
) -> list[SearchResult]:
    columns = {
        "start": starts,
        "instance": instances.tolist(),
        "first_loss": search.trace[0][1].tolist(),
        "loss": search.loss.tolist(),
        "steps": search.steps.tolist(),
        "met": _steps_to_threshold(search.thresholds),
        "distance_to_prior": z.norm(dim=-1).tolist(),
        "norm_u": norms.tolist(),
        "best": search.best.tolist(),
        "evaluations": search.evaluations.tolist(),
        "stopped": search.stop_reason,
    }
    rows = zip(zip(*columns.values(), strict=True), diagnostics, strict=True)
    return [SearchResult(**dict(zip(columns, row, strict=True)), **diagnosis) for row, diagnosis in rows]


def _merged(diagnosis: dict[str, Any], text: dict[str, Any], retrieval: dict[str, float]) -> dict[str, Any]:
    """Return the diagnoses of a search, with those of its text and of its free-running samples."""
    return diagnosis | text | {"beside": retrieval | diagnosis["beside"] | text.get("beside", {})}


def _steps_to_threshold(thresholds: Thresholds) -> list[list[int | None]]:
    return [[step if step >= 0 else None for step in row] for row in thresholds.step_at_threshold.tolist()]


def _storable(x: Tensor, model: Model, bounded: bool) -> Tensor:
    """Return samples for a result: of sequences the likeliest tokens, up to the first end, and ends after it.

    Other samples in [0, 1] are levels 0..255, which are small. The rest is in single precision.
    """
    if is_of_sequences(DATASETS.build(model.data).likelihood):
        tokens = x.argmax(-1)
        return (tokens * (tokens != END).cumprod(-1)).to(torch.uint8).cpu()
    return (x * 255).round().to(torch.uint8).cpu() if bounded else x.float().cpu()
