"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Adam

from vae import checkpoint
from vae.data import Dataset, binarise
from vae.errors import UnusableError
from vae.metrics import measure
from vae.model import VAE
from vae.networks import ARCHITECTURES
from vae.objectives import Objective
from vae.zoo import Model, objective


@dataclass(frozen=True)
class Plan:
    """What is trained, and how. Defaults: arXiv 2103.11349, section 5 (there: 100 epochs, the first 10 annealed)."""

    model: Model
    epochs: int = 24
    anneal_epochs: float = 8.0  # in which the rate's weight grows from 0.1 to 1
    batch: int = 50  # images
    lr: float = 1e-3  # of Adam
    clip: float = 5.0  # largest norm of the gradient
    threads: int = field(default_factory=torch.get_num_threads)  # the sums of a CPU depend on it
    compile: bool = False  # by torch.compile: needs a C++ compiler


@dataclass(frozen=True)
class Progress:
    """How far a training is, told every few batches and after every epoch."""

    epoch: int  # 1 is the first
    done: int  # batches of all epochs
    total: int
    images_per_second: float
    history: list[dict[str, int | float]]  # a row an epoch, on the validation images


def train(
    plan: Plan, data: Dataset, path: Path, device: str = "cpu", report: Callable[[Progress], None] = lambda _: None
) -> VAE:
    """The model that `plan` trains on `data`, saved to `path` with what made it.

    After every epoch the whole state is kept beside `path`; a training that was interrupted goes on from there, to
    the same weights (on the CPU of the same machine; the number of threads is the first session's). Everything
    random in an epoch is drawn from torch's global generator, seeded by the training seed and the epoch.

    Raises:
        UnusableError: a loss that is not finite (the last good epoch stays), or a kept state of another plan.
    """
    state = path.with_suffix(".state.safetensors")
    with torch.random.fork_rng():
        plan, vae, optimizer, history = _begin(plan, state, device)
        loss = objective(plan.model.name)
        images = data.train.to(device)
        if plan.compile:
            vae.encoder.compile()
            vae.decoder.compile()
        for epoch in range(len(history), plan.epochs):
            torch.manual_seed(1_000_003 * (plan.model.seed + 1) + epoch)
            start = time.perf_counter()
            for i, batch in enumerate(torch.randperm(len(images)).split(plan.batch)):
                x = binarise(images[batch.to(device)])
                at = epoch + i * plan.batch / len(images)
                _step(vae, optimizer, loss(vae, x).loss(rate_weight(loss, at, plan.anneal_epochs)), plan.clip)
                if i % 10 == 9:
                    speed = (i + 1) * plan.batch / (time.perf_counter() - start)
                    report(_progress(plan, images, epoch, i + 1, speed, history))
            seconds = time.perf_counter() - start
            history.append({"epoch": epoch + 1, "seconds": seconds, **validate(vae, loss, data.valid, device)})
            if not all(math.isfinite(v) for v in history[-1].values()):
                raise UnusableError(f"Training diverged in epoch {epoch + 1}; the state of epoch {epoch} is {state}.")
            _keep(plan, state, vae, optimizer, history)
            report(_progress(plan, images, epoch + 1, 0, len(images) / seconds, history))
    vae.eval()
    with torch.compiler.set_stance("force_eager"):
        metrics = measure(vae, data.test, device=device)
    checkpoint.save_model(path, vae, made_by(plan, data, history) | {"metrics": asdict(metrics)})
    state.unlink()
    return vae


def rate_weight(loss: Objective, epoch: float, anneal_epochs: float) -> float:
    """The weight of the rate `epoch` epochs after the start: from 0.1 on the slope that reaches 1 in
    `anneal_epochs`, as far as `loss.beta`. Source: arXiv 2103.11349, section 5.
    """
    if not loss.anneal or anneal_epochs <= 0:
        return loss.beta
    return min(loss.beta, 0.1 + 0.9 * epoch / anneal_epochs)


@torch.no_grad()
def validate(vae: VAE, loss: Objective, x: Float[Tensor, "n 1 h w"], device: str) -> dict[str, int | float]:
    """-ELBO, distortion, KL and penalty in nats, means over the images of `x`, one code drawn for each."""
    vae.eval()
    with torch.compiler.set_stance("force_eager"):
        terms = [loss(vae, batch.to(device)) for batch in x.split(250)]
    vae.train()
    parts = {p: torch.cat([getattr(t, p) for t in terms]).mean().item() for p in ("distortion", "rate", "penalty")}
    return {"nelbo": parts["distortion"] + parts["rate"], "kl": parts.pop("rate"), **parts}


def made_by(plan: Plan, data: Dataset, history: list[dict[str, int | float]]) -> dict[str, Any]:
    """The header of a checkpoint: what made it."""
    versions = {"torch": str(torch.__version__)}
    return {**_of(plan), "command": command(plan), "data_sha256": data.sha256, "versions": versions, "history": history}


def command(plan: Plan) -> str:
    """What to type to train the same again."""
    m = plan.model
    names = f"--model {m.name} --data {m.data} --arch {m.arch} --latent {m.latent} --seed {m.seed}"
    return f"lso-bench train {names} --epochs {plan.epochs}{' --compile' if plan.compile else ''}"


def _step(vae: nn.Module, optimizer: Adam, loss: Tensor, clip: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(vae.parameters(), clip)
    optimizer.step()


def _begin(plan: Plan, state: Path, device: str) -> tuple[Plan, VAE, Adam, list[dict[str, int | float]]]:
    """A fresh model, or the one that an interrupted training left, with the number of threads that it had."""
    torch.manual_seed(plan.model.seed)
    vae = VAE(replace(ARCHITECTURES[plan.model.arch], latent=plan.model.latent)).to(device)
    optimizer = Adam(vae.parameters(), lr=plan.lr)
    if not state.exists():
        return plan, vae, optimizer, []
    tensors, header = checkpoint.read(state)
    plan = replace(plan, threads=header["plan"]["threads"])
    torch.set_num_threads(plan.threads)
    if header["plan"] != _of(plan):
        raise UnusableError(f"{state} is of another training: wanted {_of(plan)}, got {header['plan']}; move it away.")
    vae.load_state_dict({k[4:]: t for k, t in tensors.items() if k.startswith("vae.")})
    moments = {i: {k: tensors[f"adam.{i}.{k}"] for k in ("step", "exp_avg", "exp_avg_sq")} for i in header["moments"]}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return plan, vae, optimizer, header["history"]


def _keep(plan: Plan, state: Path, vae: VAE, optimizer: Adam, history: list[dict[str, int | float]]) -> None:
    """All that the next epoch needs."""
    moments = optimizer.state_dict()["state"]
    tensors = {f"vae.{k}": t for k, t in vae.state_dict().items()}
    tensors |= {f"adam.{i}.{k}": t for i, m in moments.items() for k, t in m.items()}
    checkpoint.write(state, tensors, {"plan": _of(plan), "moments": list(moments), "history": history})


def _of(plan: Plan) -> Mapping[str, Any]:
    return asdict(plan) | {"objective": asdict(objective(plan.model.name))}  # pyright: ignore[reportArgumentType]


def _progress(plan: Plan, images: Tensor, epoch: int, batches: int, speed: float, history: list) -> Progress:
    steps = math.ceil(len(images) / plan.batch)
    return Progress(epoch + 1, epoch * steps + batches, plan.epochs * steps, speed, history)
