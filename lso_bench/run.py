"""One run: build what a spec names, drive the search, give the record."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

import lso_bench
from lso_bench import plugins
from lso_bench.errors import UnusableError, UsageError
from lso_bench.record import Member, Record
from lso_bench.search import Problem, Searcher
from lso_bench.space import Space
from lso_bench.spec import Spec
from lso_bench.stopping import Thresholds
from lso_bench.task import Task
from vae.checkpoint import load_model, sha256
from vae.data import load
from vae.networks import architecture


@dataclass(frozen=True)
class Progress:
    """How far a run is, told every few steps."""

    step: int
    steps: int  # at most
    converged: int
    members: int
    mean_loss: float


@dataclass
class Search:
    """What `drive` gives: k searches side by side, and what they cost."""

    thresholds: Thresholds
    z: Float[Tensor, "k d"]
    loss: Float[Tensor, " k"]
    steps: Int[Tensor, " k"]
    trace: list[tuple[int, Float[Tensor, " k"]]] = field(default_factory=list)
    evaluations: int = 0
    gradients: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: {"propose": 0.0, "decode": 0.0, "score": 0.0})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of its body to `seconds`."""
        start = time.perf_counter()
        yield
        if self.z.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[name] += time.perf_counter() - start


def run(
    spec: Spec,
    checkpoint: Path,
    data_dir: Path | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
) -> Record:
    """The record of `spec`, with the weights in the file `checkpoint`.

    Raises:
        UsageError: searcher and task do not fit together.
        UnusableError, vae.errors.UnusableError: data or checkpoint missing or damaged.
    """
    started = time.perf_counter()
    if sha256(checkpoint) != spec.checkpoint:
        raise UnusableError(f"{checkpoint} has changed since the run was planned; run the command again.")
    torch.backends.cudnn.allow_tf32 = False  # small thresholds are read off the loss
    vae, header = load_model(checkpoint)
    task, searcher = plugins.build("task", spec.task), plugins.build("searcher", spec.searcher)
    check_fit(spec, task, searcher)
    data = load(task.data, data_dir)
    task = task.bind(data.test.to(device))
    instances = torch.arange(task.instances).repeat(len(spec.starts))  # of each member
    task_of_all = task.at(instances.to(device))
    space = Space(vae.to(device), task_of_all.targets())
    with torch.random.fork_rng():
        starts = torch.cat([start(s, spec, task, space, device) for s in spec.starts])
        if spec.box is not None:
            starts = starts.clamp(-spec.box, spec.box)
        problem = Problem(starts, spec.box, spec.seeds.search)
        torch.manual_seed(spec.seeds.search)
        found = drive(spec, space, task, instances.to(device), searcher, problem, report)
    found.seconds["total"] = time.perf_counter() - started
    hashes = {"data_sha256": data.sha256, "trained_on_sha256": header.get("data_sha256")}
    return _record(spec, task, space, task_of_all, instances, found, hashes, device)


def check_fit(spec: Spec, task: Task, searcher: Searcher) -> None:
    """Refuse a spec that cannot be run.

    Raises:
        UsageError: says what does not fit, and what does.
    """
    if searcher.needs_gradient and not task.differentiable:
        raise UsageError(f"Searcher {spec.searcher!r} needs gradients, and task {spec.task!r} gives none.")
    if architecture(spec.model.arch, spec.model.latent).kernels and not task.has_targets:
        raise UsageError(
            f"Task {spec.task!r} has no images for the autoregressive decoder of {spec.model.arch!r} to be conditioned "
            "on; say --arch conv."
        )
    if task.data != spec.model.data:
        raise UsageError(
            f"Task {spec.task!r} scores {task.data}, and the model was trained on {spec.model.data}; "
            f"leave the model's data set out, or say {task.data}."
        )


def start(name: str, spec: Spec, task: Task, space: Space, device: str) -> Float[Tensor, "i d"]:
    """One code for each instance of `task`: a draw from the prior, or the encoder's mean of its target."""
    if name == "random":
        seeded = torch.Generator().manual_seed(spec.seeds.init)
        return torch.randn(task.instances, space.latent, generator=seeded).to(device)
    targets = task.targets()
    if name == "encoder" and targets is not None:
        return space.encode(targets)
    raise UsageError(f"No start {name!r} for task {spec.task!r}; there are 'random' and, with targets, 'encoder'.")


def drive(
    spec: Spec,
    space: Space,
    task: Task,
    instances: Int[Tensor, " k"],
    searcher: Searcher,
    problem: Problem,
    report: Callable[[Progress], None],
) -> Search:
    """The one search loop: propose, decode, score, take note, stop. Converged members leave the batch."""
    k, d = problem.starts.shape
    met = Thresholds(spec.thresholds, spec.check_every, k, d)
    start = problem.starts.cpu()
    found = Search(met, start.clone(), torch.full((k,), torch.nan), torch.zeros(k, dtype=torch.long))
    device = problem.starts.device
    active, active_task = torch.arange(k, device=device), task.at(instances)
    generator, y, spent = searcher.search(problem), None, 0
    for step in range(spec.max_steps + 1):
        with found.phase("propose"):
            z = next(generator) if y is None else generator.send(y)
        spent += z.shape[1]
        if step > 0 and spec.budget is not None and spent > spec.budget:
            break
        y = torch.zeros(z.shape[:2], device=device) if y is None or y.shape != z.shape[:2] else y.clone()
        y[active] = evaluate(space, active_task, z, active, searcher.needs_gradient, found)
        _note(found, step, z.detach(), y, active.cpu())
        if step % 10 == 0:
            alive = found.loss.isfinite() & ~met.converged
            report(Progress(step, spec.max_steps, int(met.converged.sum()), k, found.loss.nanmean().item()))
            if len(left := alive.nonzero().squeeze(1)) == 0:
                break
            if len(left) < len(active):
                active, active_task = left.to(device), task.at(instances[left.to(device)])
    return found


def evaluate(
    space: Space, task: Task, z: Float[Tensor, "k n d"], active: Int[Tensor, " a"], gradient: bool, found: Search
) -> Float[Tensor, "a n"]:
    """The scores of the active members' points; where `gradient`, that of minus the score goes into `z.grad`."""
    z.grad = None
    with torch.set_grad_enabled(gradient):
        with found.phase("decode"):
            x = space.decode(z[active], active)
        with found.phase("score"):
            y = task.score(x)
        found.evaluations += y.numel()
        if gradient:
            with found.phase("decode"):
                (-y.sum()).backward()
            found.gradients += y.numel()
    return y.detach()


def _note(found: Search, step: int, z: Tensor, y: Tensor, active: Tensor) -> None:
    """Take the step's outcome into the trace, the final state and the thresholds; the best of n points counts."""
    best = y.argmax(dim=1)
    loss = -y.gather(1, best[:, None]).squeeze(1).cpu()
    code = z.gather(1, best[:, None, None].expand(-1, 1, z.shape[2])).squeeze(1).cpu()
    found.loss[active], found.z[active], found.steps[active] = loss[active], code[active], step
    if step < 10 or step % (10 if step <= 1000 else 100) == 0 or step % found.thresholds.check_every == 0:
        found.trace.append((step, found.loss.clone()))
    found.thresholds.see(step, found.loss, found.z)


def _record(
    spec: Spec, task: Task, space: Space, task_of_all: Task, instances: Tensor, found: Search, hashes: dict, device: str
) -> Record:
    starts = [s for s in spec.starts for _ in range(task.instances)]
    first = found.trace[0][1]
    rows = zip(starts, instances.tolist(), first.tolist(), found.loss.tolist(), found.steps.tolist(), strict=True)
    met = [[step if step >= 0 else None for step in row] for row in found.thresholds.met.tolist()]
    norms = found.z.norm(dim=-1).tolist()
    members = [Member(*row, met=m, distance_to_prior=n) for row, m, n in zip(rows, met, norms, strict=True)]
    trace = pd.concat(
        pd.DataFrame({"step": s, "start": starts, "instance": instances.tolist(), "loss": loss.tolist()})
        for s, loss in found.trace
    )
    with torch.no_grad():
        decoded = space.decode(found.z.to(device).unsqueeze(1)).squeeze(1)
    tensors = {"z": found.z, "z_met": found.thresholds.codes, "decoded": _bytes(decoded)}
    if (targets := task.targets()) is not None:
        tensors["targets"] = _bytes(targets)
    counts = {"steps": int(found.steps.max()), "evaluations": found.evaluations, "gradients": found.gradients}
    status = "ok" if bool(found.loss.isfinite().all()) else "diverged"
    versions = {
        "lso_bench": lso_bench.__version__,
        "torch": str(torch.__version__),
        **hashes,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "threads": torch.get_num_threads(),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }
    return Record(spec, status, members, counts, found.seconds, versions, trace=trace, tensors=tensors)


def _bytes(images: Tensor) -> Tensor:
    """Grey levels 0..255, to keep them small."""
    return (images * 255).round().to(torch.uint8).cpu()
