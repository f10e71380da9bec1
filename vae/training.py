"""The training loop."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam

from vae import checkpoint
from vae.capture import CapturedStep
from vae.data import Dataset, binarise
from vae.errors import UnusableError
from vae.metrics import measure
from vae.model import VAE
from vae.networks import architecture
from vae.objectives import Objective
from vae.objectives.aggressive import Aggressive
from vae.zoo import Model, objective

KEEP_EVERY = 300.0  # seconds between two writings of the state within an epoch
CURVES = ("nelbo", "distortion", "kl", "mi", "mi_b50", "au", "reencoding_mean", "reencoding_logp")  # a row an epoch


@dataclass(frozen=True)
class Plan:
    """What is trained, and how. Defaults: arXiv 2103.11349, section 5 (there: 100 epochs, the first 10 annealed)."""

    model: Model
    epochs: int = 30
    anneal_epochs: float = 10.0  # in which the rate's weight grows from 0.1 to 1
    batch: int = 50  # images
    lr: float = 1e-3  # of Adam
    clip: float = 5.0  # largest norm of the gradient
    threads: int = field(default_factory=torch.get_num_threads)  # the sums of a CPU depend on it
    compile: bool = False  # by torch.compile: needs a C++ compiler
    capture: bool = False  # the step as a CUDA graph; on a GPU only
    precision: Literal["fp32", "bf16"] = "fp32"  # of the networks; losses and weights are always fp32


@dataclass(frozen=True)
class Progress:
    """How far a training is, told every few batches and after every epoch."""

    epoch: int  # 1 is the first
    done: int  # batches of all epochs
    total: int
    images_per_second: float
    history: list[dict[str, int | float]]  # a row an epoch, on the validation images


class Stopped(Exception):  # noqa: N818, no error, as StopIteration is none
    """Training was asked to stop; its state is kept."""


def train(
    plan: Plan,
    data: Dataset,
    path: Path,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> VAE:
    """The model that `plan` trains on `data`, saved to `path` with what made it.

    The whole state is kept beside `path` after every epoch, every few minutes, and when `stop` says so; a training
    that was interrupted goes on from there, to the same weights (on the CPU of the same machine; the number of
    threads is the first session's). Everything random in an epoch is drawn from torch's generators, seeded by the
    training seed and the epoch.

    Raises:
        UnusableError: a loss that is not finite (what was kept last and is good stays), or a kept state that is
            damaged or of another plan, other data or another device.
        Stopped: `stop` said so, looked at after every batch; in aggressive training a batch has a hundred steps.
    """
    state = path.with_suffix(".state.safetensors")
    with torch.random.fork_rng():
        job = _begin(plan, data, state, device)
        plan = job.plan
        images = data.train.to(device)
        if plan.compile:
            job.vae.encoder.compile()
            job.vae.decoder.compile()
        for epoch in range(len(job.history), plan.epochs):
            one_epoch(job, epoch, images, state, report, stop)
            row = {"epoch": epoch + 1, "seconds": job.seconds, **validate(job.vae, job.loss, data.valid, device)}
            if not all(math.isfinite(v) for v in row.values()):
                raise _diverged(job, state)
            speed = len(images) / job.seconds
            job.history.append(row)
            job.batches, job.seconds = 0, 0.0
            _keep(job, state)
            report(_progress(job, len(images), speed))
    vae = job.vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = measure(vae, data.test, device=device, deterministic=job.loss.deterministic)
    checkpoint.save_model(path, vae, made_by(plan, data, job.history) | {"metrics": asdict(metrics)})
    state.unlink()
    return vae


@dataclass
class Job:
    """A training under way."""

    plan: Plan
    vae: VAE
    optimizer: Adam
    loss: Objective
    of: dict[str, str] = field(default_factory=dict)  # sha256 of the data, device
    history: list[dict[str, int | float]] = field(default_factory=list)
    batches: int = 0  # done in the present epoch
    seconds: float = 0.0  # spent in it
    generators: list[Tensor] = field(default_factory=list)  # states after those batches: CPU, then CUDA
    captured: CapturedStep | None = None


def one_epoch(
    job: Job, epoch: int, images: Tensor, state: Path, report: Callable[[Progress], None], stop: Callable[[], bool]
) -> None:
    """Every training image once, in a fresh order, from where `job` stands."""
    plan, loss = job.plan, job.loss
    torch.manual_seed(1_000_003 * (plan.model.seed + 1) + epoch)
    order = torch.randperm(len(images)).to(images.device).split(plan.batch)
    _restore(job.generators)
    leads = isinstance(loss, Aggressive) and loss.leads([row["mi"] for row in job.history])
    before, first, kept = job.seconds, job.batches, time.perf_counter()
    start = kept
    for i in range(first, len(order)):
        weight = loss.rate_weight(epoch + i / len(order), plan.epochs, plan.anneal_epochs)
        if leads:
            _lead(job, images, weight)
        with _only(job.vae.encoder, not leads):
            advance(job, binarise(images[order[i]]), weight, plan.capture and not leads)
        now = time.perf_counter()
        job.batches, job.seconds = i + 1, before + now - start
        if stop():
            _keep(job, state)
            raise Stopped
        if now - kept > KEEP_EVERY:
            _keep(job, state)
            kept = now
        if i % 10 == 9:
            report(_progress(job, len(images), (i + 1 - first) * plan.batch / (now - start)))


def advance(job: Job, x: Tensor, weight: float, capture: bool) -> Tensor:
    """One step, as a graph where that is wanted and `x` is a whole batch; the loss before it."""
    if not capture or len(x) != job.plan.batch:
        return step(job, x, weight)
    if job.captured is None:
        job.captured = CapturedStep(lambda x, weight: step(job, x, weight), job.vae, job.optimizer, x)
    return job.captured(x, weight)


def step(job: Job, x: Tensor, weight: float | Tensor) -> Tensor:
    """One step of Adam on the binary images `x`; the loss before it."""
    job.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=job.plan.precision == "bf16", cache_enabled=False):
        loss = job.loss(job.vae, x).loss(weight)
    loss.backward()
    _clip(job.vae, job.plan.clip)
    job.optimizer.step()
    return loss.detach()


def _clip(vae: VAE, largest: float) -> None:
    """Scale the gradient down to the norm `largest`. (On a CPU nothing is multiplied where it is smaller already.)"""
    norm = nn.utils.get_total_norm([p.grad for p in vae.parameters() if p.grad is not None])
    if norm.is_cuda or norm > largest:
        nn.utils.clip_grads_with_norm_(vae.parameters(), largest, norm)


def _lead(job: Job, images: Tensor, weight: float) -> None:
    """Steps of the encoder alone, on fresh images, until the loss no longer falls (He et al. 2019, algorithm 1)."""
    loss = job.loss
    assert isinstance(loss, Aggressive)
    best, total = math.inf, torch.zeros((), device=images.device)
    with _only(job.vae.decoder, False):
        for i in range(1, loss.inner + 1):
            fresh = torch.randperm(len(images))[: job.plan.batch]
            total += step(job, binarise(images[fresh.to(images.device)]), weight)
            if i % loss.look == 0:
                mean = total.item() / loss.look
                if mean > best:
                    return
                best, total = mean, torch.zeros_like(total)


@contextmanager
def _only(part: nn.Module, learns: bool) -> Iterator[None]:
    """Within, `part` learns or does not."""
    if learns:
        yield
        return
    part.requires_grad_(False)
    try:
        yield
    finally:
        part.requires_grad_(True)


def validate(vae: VAE, loss: Objective, x: Float[Tensor, "n 1 h w"], device: str) -> dict[str, int | float]:
    """The metrics of `x` that a learning curve shows, one code drawn for each image."""
    vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = asdict(measure(vae, x, device=device, deterministic=loss.deterministic))
    vae.train()
    return {k: metrics[k] for k in CURVES if metrics[k] is not None}


def made_by(plan: Plan, data: Dataset, history: list[dict[str, int | float]]) -> dict[str, Any]:
    """The header of a checkpoint: what made it."""
    versions = {"torch": str(torch.__version__)}
    return {**_of(plan), "command": command(plan), "data_sha256": data.sha256, "versions": versions, "history": history}


def command(plan: Plan) -> str:
    """What to type to train the same again."""
    m = plan.model
    names = f"--model {m.name} --data {m.data} --arch {m.arch} --latent {m.latent} --seed {m.seed}"
    more = " --compile" * plan.compile + " --capture" * plan.capture
    more += f" --precision {plan.precision}" * (plan.precision != "fp32")
    return f"lso-bench train {names} --epochs {plan.epochs}{more}"


def _begin(plan: Plan, data: Dataset, state: Path, device: str) -> Job:
    """A fresh model, or the one that an interrupted training left, with the number of threads that it had."""
    if plan.capture and device != "cuda":
        raise UnusableError(f"capture wants a CUDA device, not {device!r}.")
    torch.manual_seed(plan.model.seed)
    vae = VAE(architecture(plan.model.arch, plan.model.latent))
    vae = vae.to(device)
    vae.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]; 1.3 times faster on a CPU
    job = Job(plan, vae, optimizer(vae, plan), objective(plan.model.name), {"data": data.sha256, "device": device})
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
    wanted, given = {**_of(plan), **job.of}, {**header["plan"], **header["of"]}
    if odd := [k for k in wanted if wanted[k] != given.get(k)]:
        how = ", ".join(f"{k}: wanted {wanted[k]!r}, got {given.get(k)!r}" for k in odd)
        raise UnusableError(f"{state} is of another training ({how}); move it away.")
    vae.load_state_dict({k[4:]: t for k, t in tensors.items() if k.startswith("vae.")})
    job.optimizer.load_state_dict(
        {
            "state": {i: _moments(tensors, i, p) for i, p in enumerate(vae.parameters()) if i in header["moments"]},
            "param_groups": job.optimizer.state_dict()["param_groups"],
        }
    )
    kept = [tensors[k] for k in sorted(tensors) if k.startswith("generator.")] if header["batches"] else []
    return replace(job, plan=plan, generators=kept, **{k: header[k] for k in ("history", "batches", "seconds")})


def optimizer(vae: VAE, plan: Plan) -> Adam:
    """Adam, in one kernel for all parameters."""
    return Adam(vae.parameters(), lr=plan.lr, fused=True, capturable=plan.capture)


def _moments(tensors: dict[str, Tensor], i: int, parameter: Tensor) -> dict[str, Tensor]:
    """Adam's state of parameter `i`, laid out in memory like the parameter: its fused kernel supposes so."""
    given = {k: tensors[f"adam.{i}.{k}"] for k in ("step", "exp_avg", "exp_avg_sq")}
    return {k: t if k == "step" else torch.empty_like(parameter).copy_(t) for k, t in given.items()}


def _restore(generators: list[Tensor]) -> None:
    """The states of torch's generators in the middle of an epoch; none at its beginning."""
    if generators:
        torch.random.set_rng_state(generators.pop(0))
    if generators:
        torch.cuda.set_rng_state(generators.pop(0))


def _keep(job: Job, state: Path) -> None:
    """All that the next batch needs; what diverged within an epoch does not replace what was good before it."""
    if not all(p.isfinite().all() for p in job.vae.parameters()):
        raise _diverged(job, state)
    moments = job.optimizer.state_dict()["state"]
    tensors = {f"vae.{k}": t for k, t in job.vae.state_dict().items()}
    tensors |= {f"adam.{i}.{k}": t for i, m in moments.items() for k, t in m.items()}
    tensors["generator.0"] = torch.random.get_rng_state()
    if next(job.vae.parameters()).is_cuda:
        tensors["generator.1"] = torch.cuda.get_rng_state()
    kept = {"history": job.history, "batches": job.batches, "seconds": job.seconds}
    checkpoint.write(state, tensors, {"plan": _of(job.plan), "of": job.of, "moments": list(moments), **kept})


def _of(plan: Plan) -> Mapping[str, Any]:
    return asdict(plan) | {"objective": asdict(objective(plan.model.name))}  # pyright: ignore[reportArgumentType]


def _diverged(job: Job, state: Path) -> UnusableError:
    where = f"the state before is kept in {state}" if state.exists() else "nothing was kept yet"
    return UnusableError(f"Training diverged in epoch {len(job.history) + 1}; {where}.")


def _progress(job: Job, images: int, speed: float) -> Progress:
    steps, done = math.ceil(images / job.plan.batch), len(job.history)
    return Progress(done + 1, done * steps + job.batches, job.plan.epochs * steps, speed, job.history)
