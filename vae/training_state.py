"""State of a training in progress, saved to disk so that an interrupted training resumes."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Adam

from lso_bench.errors import UnusableError
from lso_bench.vae import checkpoint
from lso_bench.vae.architectures import architecture
from lso_bench.vae.capture import CapturedStep
from lso_bench.vae.data import Dataset
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives import OBJECTIVES, Objective
from lso_bench.vae.trained_model import Model


@dataclass(frozen=True)
class Plan:
    """Settings of a training. Defaults: arXiv 2103.11349, section 5 (but there 100 epochs, the first 10 annealed)."""

    model: Model
    epochs: int = 30
    anneal_epochs: float = 10.0  # epochs in which the rate's weight grows from 0.1 to 1, or to a larger beta
    batch: int = 50  # images
    lr: float = 1e-3  # learning rate of Adam
    clip: float = 5.0  # largest norm of the gradient
    threads: int = field(default_factory=torch.get_num_threads)  # sums on a CPU depend on it
    compile: bool = False  # use torch.compile, which needs a C++ compiler
    capture: bool = False  # run the step as a CUDA graph; GPU only
    precision: Literal["fp32", "bf16"] = "fp32"  # of the networks; losses and weights are always fp32


@dataclass
class Job:
    """Training in progress."""

    plan: Plan
    vae: VAE
    optimizer: Adam
    loss: Objective
    provenance: dict[str, str] = field(default_factory=dict)  # sha256 of the data, device
    history: list[dict[str, int | float]] = field(default_factory=list)
    batches: int = 0  # finished in the current epoch
    seconds: float = 0.0  # spent in the current epoch
    generators: list[Tensor] = field(default_factory=list)  # states after those batches: CPU, then CUDA
    captured: CapturedStep | None = None


def command(plan: Plan) -> str:
    """Return the command line that repeats the training."""
    m = plan.model
    words = ["--model", m.name, "--data", m.data, "--arch", m.arch, "--latent", m.latent, "--seed", m.seed]
    words += ["--epochs", plan.epochs, *["--compile"] * plan.compile, *["--capture"] * plan.capture]
    words += ["--precision", plan.precision] if plan.precision != "fp32" else []
    return shlex.join(["lso-bench", "train", *map(str, words)])


def start_or_resume(plan: Plan, data: Dataset, state: Path, device: str) -> Job:
    """Return a new job, or the saved job of an interrupted training, with its number of threads."""
    if plan.capture and device != "cuda":
        raise UnusableError(f"capture wants a CUDA device, not {device!r}.")
    torch.manual_seed(plan.model.seed)
    loss, arch = (
        OBJECTIVES.build(plan.model.name),
        architecture(plan.model.arch, plan.model.latent, tuple(data.test.shape[1:]), data.likelihood),
    )
    vae = VAE(arch, loss.deterministic).to(device)
    if vae.arch.channels_last:
        vae.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    job = Job(plan, vae, optimizer(vae, plan), loss, {"data": data.sha256, "device": device})
    if not state.exists():
        return job
    try:
        return _resume(job, state)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UnusableError(f"{state} is damaged ({type(error).__name__}: {error}); move it away.") from error


def _resume(job: Job, state: Path) -> Job:
    tensors, header = checkpoint.read(state)
    plan, vae = replace(job.plan, threads=header["plan"]["threads"]), job.vae
    torch.set_num_threads(plan.threads)
    expected, saved = {**settings(plan), **job.provenance}, {**header["plan"], **header["of"]}
    if differing := [k for k in expected if expected[k] != saved.get(k)]:
        differences = ", ".join(f"{k}: wanted {expected[k]!r}, got {saved.get(k)!r}" for k in differing)
        raise UnusableError(f"{state} is of another training ({differences}); move it away.")
    vae.load_state_dict({k[4:]: t for k, t in tensors.items() if k.startswith("vae.")})
    job.optimizer.load_state_dict(
        {
            "state": {i: _moments(tensors, i, p) for i, p in enumerate(vae.parameters()) if i in header["moments"]},
            "param_groups": job.optimizer.state_dict()["param_groups"],
        }
    )
    generators = [tensors[k] for k in sorted(tensors) if k.startswith("generator.")] if header["batches"] else []
    return replace(job, plan=plan, generators=generators, **{k: header[k] for k in ("history", "batches", "seconds")})


def optimizer(vae: VAE, plan: Plan) -> Adam:
    """Return Adam, in one kernel for all parameters."""
    return Adam(vae.parameters(), lr=plan.lr, fused=True, capturable=plan.capture)


def _moments(tensors: dict[str, Tensor], i: int, parameter: Tensor) -> dict[str, Tensor]:
    """Return Adam's state of parameter `i`, laid out in memory like the parameter, as the fused kernel requires."""
    moments = {k: tensors[f"adam.{i}.{k}"] for k in ("step", "exp_avg", "exp_avg_sq")}
    return {k: t if k == "step" else torch.empty_like(parameter).copy_(t) for k, t in moments.items()}


def restore_rng(generators: list[Tensor]) -> None:
    """Restore torch's generators to their states in the middle of an epoch; no states: the epoch begins."""
    if generators:
        torch.random.set_rng_state(generators.pop(0))
    if generators:
        torch.cuda.set_rng_state(generators.pop(0))


def save_state(job: Job, state: Path) -> None:
    """Save all that the next batch needs, unless a weight is not finite: then the last good state stays."""
    if not all(p.isfinite().all() for p in job.vae.parameters()):
        raise diverged(job, state)
    moments = job.optimizer.state_dict()["state"]
    tensors = {f"vae.{k}": t for k, t in job.vae.state_dict().items()}
    tensors |= {f"adam.{i}.{k}": t for i, m in moments.items() for k, t in m.items()}
    tensors["generator.0"] = torch.random.get_rng_state()
    if next(job.vae.parameters()).is_cuda:
        tensors["generator.1"] = torch.cuda.get_rng_state()
    progress = {"history": job.history, "batches": job.batches, "seconds": job.seconds}
    checkpoint.write(
        state, tensors, {"plan": settings(job.plan), "of": job.provenance, "moments": list(moments), **progress}
    )


def settings(plan: Plan) -> Mapping[str, Any]:
    """Return the settings of a training; a beta above 1 has its schedule beside it, which was another one before."""
    objective = OBJECTIVES.build(plan.model.name)
    schedule = {"annealed_to": objective.beta} if objective.anneal and objective.beta > 1 else {}
    return asdict(plan) | {"objective": asdict(objective)} | schedule  # pyright: ignore[reportArgumentType]


def diverged(job: Job, state: Path, reason: str = "a value is not finite") -> UnusableError:
    saved_state = f"the state before is kept in {state}" if state.exists() else "nothing was kept yet"
    return UnusableError(f"Training diverged in epoch {len(job.history) + 1} ({reason}); {saved_state}.")
