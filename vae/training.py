"""Training of a model."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lso_bench.vae import checkpoint
from lso_bench.vae.asking import rate_weight, terms_of
from lso_bench.vae.capture import CapturedStep
from lso_bench.vae.data import Dataset
from lso_bench.vae.evaluation import after_training
from lso_bench.vae.metrics import measure
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives.aggressive import Aggressive
from lso_bench.vae.training_state import (
    Job,
    Plan,
    command,
    diverged,
    restore_rng,
    save_state,
    settings,
    start_or_resume,
)

KEEP_EVERY = 300.0  # seconds between two savings of the state within an epoch
FAR = 10.0  # allowed increase, in units of the first epoch's loss; in our trainings no later loss exceeded the first
LEAST = 100.0  # nats; lower bound of the unit: with grey images the first epoch's loss may be near 0
CURVES = ("nelbo", "distortion", "kl", "mi", "mi_b50", "au", "reencoding_mean", "reencoding_logp")  # a row an epoch


@dataclass(frozen=True)
class Progress:
    """Progress of a training, reported every few batches and after every epoch."""

    epoch: int  # 1 is the first
    done: int  # batches of all epochs
    total: int
    images_per_second: float
    history: list[dict[str, int | float]]  # a row an epoch, on the validation images


class Stopped(Exception):  # noqa: N818, no error, as StopIteration is none
    """Request to stop the training; its state is saved."""


def train(
    plan: Plan,
    data: Dataset,
    path: Path,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> VAE:
    """Train a model on `data` as `plan` says, save it to `path` with a header, and return it.

    The state is saved beside `path` after every epoch, every few minutes, and when `stop` returns true. An
    interrupted training resumes there and reaches the same weights (on the CPU of the same machine, with the number
    of threads of the first session). All random numbers of an epoch come from torch's generators, seeded by the
    training seed and the epoch.

    Raises:
        UnusableError: a loss is not finite, or far above the first epoch's (`has_diverged`); the last good state stays.
            Or the saved state is damaged, or of another plan, other data or another device.
        Stopped: `stop` returned true; it is called after every batch, which in aggressive training has a hundred steps.
    """
    state = path.with_suffix(".state.safetensors")
    with torch.random.fork_rng():
        job = start_or_resume(plan, data, state, device)
        plan = job.plan
        images = data.train.to(device)
        if plan.compile:
            job.vae.encoder.compile()
            job.vae.decoder.compile()
        for epoch in range(len(job.history), plan.epochs):
            one_epoch(job, epoch, images, state, report, stop)
            row = {"epoch": epoch + 1, "seconds": job.seconds, **validate(job.vae, data.valid, device)}
            if not all(math.isfinite(v) for v in row.values()):
                raise diverged(job, state)
            if problem := has_diverged(job.history, row):
                raise diverged(job, state, problem)
            speed = len(images) / job.seconds
            job.history.append(row)
            job.batches, job.seconds = 0, 0.0
            save_state(job, state)
            report(_progress(job, len(images), speed))
    vae = job.vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = after_training(vae, data.test, device=device)
    checkpoint.save_model(path, vae, checkpoint_header(plan, data, job.history) | {"metrics": asdict(metrics)})
    state.unlink(missing_ok=True)
    return vae


def one_epoch(
    job: Job, epoch: int, images: Tensor, state: Path, report: Callable[[Progress], None], stop: Callable[[], bool]
) -> None:
    """Train on every image once, in a new order, from the state of `job`."""
    plan, loss = job.plan, job.loss
    torch.manual_seed(1_000_003 * (plan.model.seed + 1) + epoch)
    order = _batches(torch.randperm(len(images)).to(images.device), plan.batch)
    restore_rng(job.generators)
    aggressive = isinstance(loss, Aggressive) and loss.is_aggressive_epoch([row["mi"] for row in job.history])
    before, first, saved_at = job.seconds, job.batches, time.perf_counter()
    start = saved_at
    for i in range(first, len(order)):
        weight = rate_weight(loss, epoch + i / len(order), plan.epochs, plan.anneal_epochs)
        if aggressive:
            _aggressive_encoder_steps(job, images, weight)
        with _trainable(job.vae.encoder, not aggressive):
            x = job.vae.density.model_input(images[order[i]])
            optimizer_step(job, x, weight, plan.capture and not aggressive)
        now = time.perf_counter()
        job.batches, job.seconds = i + 1, before + now - start
        if stop():
            _save_within_epoch(job, x, state)
            raise Stopped
        if now - saved_at > KEEP_EVERY:
            _save_within_epoch(job, x, state)
            saved_at = now
        if i % 10 == 9:
            report(_progress(job, len(images), (i + 1 - first) * plan.batch / (now - start)))


def _save_within_epoch(job: Job, x: Float[Tensor, "b *shape"], state: Path) -> None:
    """Save the state within an epoch, unless the loss of its last images diverged: then the last epoch's stays."""
    if job.history and (problem := has_diverged(job.history, validate(job.vae, x, str(x.device)))):
        raise diverged(job, state, problem)
    save_state(job, state)


def has_diverged(history: list[dict[str, int | float]], row: dict[str, int | float]) -> str | None:
    """Describe a divergence: -ELBO (else distortion) exceeds the first epoch's by more than 10 times its size.

    The result is None without one. Steps that are too large end in divergence, often with finite numbers. Annealing
    and a KL that is large at first do not reach the limit.
    """
    if not history:
        return None
    key, name = ("nelbo", "-ELBO") if "nelbo" in row else ("distortion", "the distortion")
    first, now = history[0][key], row[key]
    if now - first <= FAR * max(abs(first), LEAST):
        return None
    return f"{name} is {now:.4g} nats, {first:.4g} after the first epoch"


def _batches(order: Int[Tensor, " n"], size: int) -> tuple[Int[Tensor, " b"], ...]:
    """Split the images into batches in order; a single remaining image joins the last batch: batch norm needs two."""
    parts = order.split(size)
    return (*parts[:-2], torch.cat(parts[-2:])) if len(parts[-1]) == 1 else parts


def optimizer_step(job: Job, x: Tensor, weight: float, capture: bool) -> Tensor:
    """Take one step, as a CUDA graph if `capture` and `x` is a full batch; return the loss before it."""
    if not capture or len(x) != job.plan.batch:
        return step(job, x, weight)
    if job.captured is None:
        job.captured = CapturedStep(lambda x, weight: step(job, x, weight), job.vae, job.optimizer, x)
    return job.captured(x, weight)


def step(job: Job, x: Tensor, weight: float | Tensor) -> Tensor:
    """Take one step of Adam on the images `x`; return the loss before it."""
    job.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=job.plan.precision == "bf16", cache_enabled=False):
        loss = terms_of(job.loss, job.vae, x).loss(weight)
    loss.backward()
    _clip(job.vae, job.plan.clip)
    job.optimizer.step()
    return loss.detach()


def _clip(vae: VAE, largest: float) -> None:
    """Scale the gradient down to the norm `largest`. (On a CPU a smaller gradient is not multiplied.)"""
    norm = nn.utils.get_total_norm([p.grad for p in vae.parameters() if p.grad is not None])
    if norm.is_cuda or norm > largest:
        nn.utils.clip_grads_with_norm_(vae.parameters(), largest, norm)


def _aggressive_encoder_steps(job: Job, images: Tensor, weight: float) -> None:
    """Train the encoder alone on new images until the loss stops falling (He et al. 2019, algorithm 1)."""
    loss = job.loss
    assert isinstance(loss, Aggressive)
    best, total = math.inf, torch.zeros((), device=images.device)
    with _trainable(job.vae.decoder, False):
        for i in range(1, loss.inner + 1):
            fresh = torch.randperm(len(images))[: job.plan.batch]
            total += step(job, job.vae.density.model_input(images[fresh.to(images.device)]), weight)
            if i % loss.look == 0:
                mean = total.item() / loss.look
                if mean > best:
                    return
                best, total = mean, torch.zeros_like(total)


@contextmanager
def _trainable(part: nn.Module, trainable: bool) -> Iterator[None]:
    """Freeze the weights of `part` within the context, unless `trainable`."""
    if trainable:
        yield
        return
    part.requires_grad_(False)
    try:
        yield
    finally:
        part.requires_grad_(True)


def validate(vae: VAE, x: Float[Tensor, "n *shape"], device: str) -> dict[str, int | float]:
    """Compute the metrics of `x` that a learning curve shows, with one latent drawn for each image.

    Standard errors of the means follow (`nelbo_se`), if there are enough images.
    """
    vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = asdict(measure(vae, x, device=device))
    vae.train()
    errors = {f"{k}_se": metrics["se"][k] for k in CURVES if math.isfinite(metrics["se"].get(k, math.nan))}
    return {k: metrics[k] for k in CURVES if metrics[k] is not None} | errors


def checkpoint_header(plan: Plan, data: Dataset, history: list[dict[str, int | float]]) -> dict[str, Any]:
    """Return the header of a checkpoint: plan, command, data, versions and history."""
    versions = {"torch": str(torch.__version__)}
    return {
        **settings(plan),
        "command": command(plan),
        "data_sha256": data.sha256,
        "versions": versions,
        "history": history,
    }


def _progress(job: Job, images: int, speed: float) -> Progress:
    steps, done = math.ceil((images - 1) / job.plan.batch), len(job.history)  # as `_batches` has it
    return Progress(done + 1, done * steps + job.batches, job.plan.epochs * steps, speed, job.history)
