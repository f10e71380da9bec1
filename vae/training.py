"""The training loop."""

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
from lso_bench.vae.data import Dataset, as_model_input
from lso_bench.vae.job import Job, Plan, command, diverged, restore_rng, save_state, settings, start_or_resume
from lso_bench.vae.metrics import measure
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives.aggressive import Aggressive

KEEP_EVERY = 300.0  # seconds between two writings of the state within an epoch
FAR = 10.0  # times the first epoch's loss; in none of our trainings was a later epoch's loss above the first's
LEAST = 100.0  # nats that the first epoch's loss counts as at least: with shades of grey it may be near 0
CURVES = ("nelbo", "distortion", "kl", "mi", "mi_b50", "au", "reencoding_mean", "reencoding_logp")  # a row an epoch


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
        UnusableError: a loss that is not finite, or that is far above the first epoch's (`far_off`); what was kept last
            and is good stays. Or a kept state that is damaged or of another plan, other data or another device.
        Stopped: `stop` said so, looked at after every batch; in aggressive training a batch has a hundred steps.
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
            if odd := has_diverged(job.history, row):
                raise diverged(job, state, odd)
            speed = len(images) / job.seconds
            job.history.append(row)
            job.batches, job.seconds = 0, 0.0
            save_state(job, state)
            report(_progress(job, len(images), speed))
    vae = job.vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = measure(vae, data.test, device=device)
    checkpoint.save_model(path, vae, made_by(plan, data, job.history) | {"metrics": asdict(metrics)})
    state.unlink(missing_ok=True)
    return vae


def one_epoch(
    job: Job, epoch: int, images: Tensor, state: Path, report: Callable[[Progress], None], stop: Callable[[], bool]
) -> None:
    """Every training image once, in a fresh order, from where `job` stands."""
    plan, loss = job.plan, job.loss
    torch.manual_seed(1_000_003 * (plan.model.seed + 1) + epoch)
    order = _batches(torch.randperm(len(images)).to(images.device), plan.batch)
    restore_rng(job.generators)
    leads = isinstance(loss, Aggressive) and loss.leads([row["mi"] for row in job.history])
    before, first, kept = job.seconds, job.batches, time.perf_counter()
    start = kept
    for i in range(first, len(order)):
        weight = rate_weight(loss, epoch + i / len(order), plan.epochs, plan.anneal_epochs)
        if leads:
            _lead(job, images, weight)
        with _only(job.vae.encoder, not leads):
            x = as_model_input(images[order[i]], job.vae.arch.likelihood)
            optimizer_step(job, x, weight, plan.capture and not leads)
        now = time.perf_counter()
        job.batches, job.seconds = i + 1, before + now - start
        if stop():
            _keep_within(job, x, state)
            raise Stopped
        if now - kept > KEEP_EVERY:
            _keep_within(job, x, state)
            kept = now
        if i % 10 == 9:
            report(_progress(job, len(images), (i + 1 - first) * plan.batch / (now - start)))


def _keep_within(job: Job, x: Float[Tensor, "b 1 h w"], state: Path) -> None:
    """Keep what stands within an epoch, unless the loss of its last images is far off: then the epoch before stays."""
    if job.history and (odd := has_diverged(job.history, validate(job.vae, x, str(x.device)))):
        raise diverged(job, state, odd)
    save_state(job, state)


def has_diverged(history: list[dict[str, int | float]], row: dict[str, int | float]) -> str | None:
    """What is odd about -ELBO (distortion, where there is none): it is worse than after the first epoch by ten times
    its size. Steps that are too large end so, often in numbers that are finite; annealing and a KL that is large at
    first do not come near.
    """
    if not history:
        return None
    key, name = ("nelbo", "-ELBO") if "nelbo" in row else ("distortion", "the distortion")
    first, now = history[0][key], row[key]
    if now - first <= FAR * max(abs(first), LEAST):
        return None
    return f"{name} is {now:.4g} nats, {first:.4g} after the first epoch"


def _batches(order: Int[Tensor, " n"], size: int) -> tuple[Int[Tensor, " b"], ...]:
    """In turn; an image left over goes into the last batch, for batch norm wants two."""
    parts = order.split(size)
    return (*parts[:-2], torch.cat(parts[-2:])) if len(parts[-1]) == 1 else parts


def optimizer_step(job: Job, x: Tensor, weight: float, capture: bool) -> Tensor:
    """One step, as a graph where that is wanted and `x` is a whole batch; the loss before it."""
    if not capture or len(x) != job.plan.batch:
        return step(job, x, weight)
    if job.captured is None:
        job.captured = CapturedStep(lambda x, weight: step(job, x, weight), job.vae, job.optimizer, x)
    return job.captured(x, weight)


def step(job: Job, x: Tensor, weight: float | Tensor) -> Tensor:
    """One step of Adam on the images `x`; the loss before it."""
    job.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=job.plan.precision == "bf16", cache_enabled=False):
        loss = terms_of(job.loss, job.vae, x).loss(weight)
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
            total += step(job, as_model_input(images[fresh.to(images.device)], job.vae.arch.likelihood), weight)
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


def validate(vae: VAE, x: Float[Tensor, "n 1 h w"], device: str) -> dict[str, int | float]:
    """The metrics of `x` that a learning curve shows, one code drawn for each image; after them the standard errors of
    those that are means (`nelbo_se`), where there are images enough for one.
    """
    vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = asdict(measure(vae, x, device=device))
    vae.train()
    errors = {f"{k}_se": metrics["se"][k] for k in CURVES if math.isfinite(metrics["se"].get(k, math.nan))}
    return {k: metrics[k] for k in CURVES if metrics[k] is not None} | errors


def made_by(plan: Plan, data: Dataset, history: list[dict[str, int | float]]) -> dict[str, Any]:
    """The header of a checkpoint: what made it."""
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
