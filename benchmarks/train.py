"""One training step, batch 50: ours against a plain implementation, and our loop against pythae's trainer.

    python benchmarks/train.py [--arch paper] [--steps 7] [--threads 2] [--device cpu] [--bf16]
    python benchmarks/train.py --pythae [--epochs 3]        # needs the extra: pip install 'lso-bench[bench]'

The plain implementation is the same network as public VAE scripts write it: full k x k kernels whose weight is
multiplied by a mask in every forward pass, the memory format that tensors have by default, single precision, eager (on
a GPU also captured). Each way by turns with the plain one, in this one process; medians and ranges. The floors, of each
precision: multiplications of a step at the rate of a large matrix product, and activations (each written once and read
once forwards, read once and its gradient written and read once backwards) at the rate of a large copy, both measured
here in that precision. The last column is a row's time by the larger floor of its precision.

With --pythae: seconds an epoch of pythae's trainer on its own default VAE (two-layer networks), and of our loop on the
very same network, on 23,000 random images.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lso_bench.process import settle_memory
from lso_bench.vae.architectures import architecture
from lso_bench.vae.architectures.conv import Conv
from lso_bench.vae.data import binarise
from lso_bench.vae.model import VAE
from lso_bench.vae.networks import CausalConv2d
from lso_bench.vae.objectives.elbo import ELBO
from lso_bench.vae.trained_model import Model
from lso_bench.vae.training import one_epoch, optimizer_step
from lso_bench.vae.training_state import Job, Plan, optimizer

BATCH, PLAIN = 50, "plain"


class FullMaskedConv2d(nn.Conv2d):
    """A masked convolution as it is usually written: the whole kernel, most of it multiplied by zero."""

    mask: Tensor

    @classmethod
    def like(cls, conv: CausalConv2d) -> "FullMaskedConv2d":
        o, i, _, k = conv.weight.shape
        layer = cls(i, o, k, padding=k // 2, bias=conv.bias is not None)
        layer.register_buffer("mask", nn.functional.pad(conv.mask, (0, 0, 0, k // 2)))
        with torch.no_grad():
            layer.weight.copy_(nn.functional.pad(conv.weight, (0, 0, 0, k // 2)))
        return layer

    def forward(self, input: Tensor) -> Tensor:
        return self._conv_forward(input, self.weight * self.mask, self.bias)


def plain(vae: VAE) -> VAE:
    """The same network with whole kernels and nothing in place."""
    copy = deepcopy(vae)
    for parent in list(copy.modules()):
        for name, child in parent.named_children():
            if isinstance(child, CausalConv2d):
                setattr(parent, name, FullMaskedConv2d.like(child))
            elif isinstance(child, nn.ELU):
                setattr(parent, name, nn.ELU())
    return copy


def job(vae: VAE, **settings) -> Job:
    """A training of `vae` under way."""
    plan = Plan(Model("vae_noanneal", "omniglot"), **settings)
    return Job(plan, vae, optimizer(vae, plan), ELBO(anneal=False))


def ways(device: str, bf16: bool, compiled: bool = True) -> dict[str, dict[str, Any]]:
    """Names and settings of the compared ways, the dearest to prepare last; the first is the yardstick."""
    ours = {"ours": {}} | ({"ours, bf16": {"precision": "bf16"}} if bf16 else {})
    captured = {f"{name}, captured": s | {"capture": True} for name, s in ({PLAIN: {}} | ours).items()}
    eager = {PLAIN: {}} | (captured if device == "cuda" else {}) | ours
    also = {f"{name}, compiled": s | {"compile": True} for name, s in eager.items() if PLAIN not in name}
    return eager | (also if compiled else {})


def prepared(vae: VAE, name: str, settings: Mapping[str, Any]) -> Job:
    """A training of a copy of `vae` by that way."""
    if name.startswith(PLAIN):
        return job(plain(vae), **settings)
    copy = deepcopy(vae)
    copy.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    if settings.get("compile"):
        copy.encoder.compile()
        copy.decoder.compile()
    return job(copy, **settings)


@dataclass(frozen=True)
class Row:
    """Seconds of the steps of one way, and of the plain ones between them."""

    name: str
    precision: str
    seconds: list[float]
    plain: list[float]


def measured(vae: VAE, x: Tensor, name: str, settings: Mapping[str, Any], steps: int) -> Row:
    """Time one way of a step of `vae` on `x`, by turns with the plain step."""
    jobs = {PLAIN: job(plain(vae)), name: prepared(vae, name, settings)}
    calls = {n: lambda j=j: optimizer_step(j, x, 1.0, j.plan.capture) for n, j in jobs.items()}
    seconds = timed(calls, steps, x.device.type)
    return Row(name, jobs[name].plan.precision, seconds[name], seconds[PLAIN])


def beginning(arch: str, device: str) -> tuple[VAE, Tensor]:
    """A network with random weights, and a batch of random images."""
    torch.manual_seed(0)
    x = (torch.rand(BATCH, 1, 28, 28, device=device) < 0.1).float()
    return VAE(architecture(arch, 32)).to(device), x


def timed(calls: Mapping[str, Callable[[], object]], steps: int, device: str, warm: int = 3) -> dict[str, list[float]]:
    """Seconds of each call, by turns, after `warm` of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(steps + warm):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            if i >= warm:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@dataclass(frozen=True)
class Floor:
    """Least time of a step of one precision, in seconds, each by itself at full speed."""

    arithmetic: float
    memory: float

    @property
    def larger(self) -> float:
        return max(self.arithmetic, self.memory)


def floor(network: nn.Module, step: Callable[[], object], device: str, kind: torch.dtype = torch.float32) -> Floor:
    """Floor of `step`, which goes through the layers of `network` forwards and backwards."""
    written: list[int] = []

    def count(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        written.append(output.numel() * output.element_size())

    leaves = [m for m in network.modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    hooks = [m.register_forward_hook(count) for m in leaves]
    with FlopCounterMode(display=False) as counter:
        step()
    for hook in hooks:
        hook.remove()
    arithmetic, memory = rates(device, kind, device == "cuda" and torch.backends.cudnn.allow_tf32)
    return Floor(counter.get_total_flops() / arithmetic, 5 * sum(written) / memory)


@cache
def rates(device: str, kind: torch.dtype, tf32: bool) -> tuple[float, float]:
    """Operations a second of a large matrix product, bytes a second of a large copy; `tf32`: whether a GPU may multiply
    float32 as cuDNN does in convolutions where that is allowed.
    """
    side, numbers = (8192, 2**29) if device == "cuda" else (2048, 2**26)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, tf32
    a, big = torch.randn(side, side, device=device).to(kind), torch.randn(numbers, device=device).to(kind)
    product = median(timed({"": lambda: a @ a}, 5, device)[""])
    copy = median(timed({"": big.clone}, 5, device)[""])
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * side**3 / product, 2 * big.numel() * big.element_size() / copy


def floor_of_step(vae: VAE, x: Tensor, bf16: bool) -> Floor:
    """Floor of a training step of `vae` on `x`."""

    def step() -> None:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=bf16):
            loss = ELBO()(vae, x).loss()
        loss.backward()

    return floor(vae, step, x.device.type, torch.bfloat16 if bf16 else torch.float32)


def compare_steps(arch: str, steps: int, device: str, bf16: bool) -> None:
    """Print a table of the ways, and the floors."""
    vae, x = beginning(arch, device)
    floors = {p: floor_of_step(deepcopy(vae), x, p == "bf16") for p in ("fp32", "bf16") if bf16 or p == "fp32"}
    print(f"{arch}, batch {BATCH}, {device}, {torch.get_num_threads()} threads, {steps} steps each, by turns")
    print(f"{'':26}{'a step':>11}{'range':>20}{'plain by it':>13}{'by its floor':>14}")
    for name, settings in ways(device, bf16).items():
        row = measured(vae, x, name, settings, steps)
        s, mid = row.seconds, median(row.seconds)
        print(
            f"{name:26}{mid:9.4f} s{f'{min(s):.4f} .. {max(s):.4f}':>20}{median(row.plain) / mid:11.2f} x"
            f"{mid / floors[row.precision].larger:12.2f} x"
        )
    for precision, f in floors.items():
        print(f"floors of {precision}: arithmetic {f.arithmetic:.4f} s, memory {f.memory:.4f} s")


class TwoLayers(VAE):
    """pythae's default encoder and decoder under our interface."""

    def __init__(self, theirs: Any):
        super().__init__(Conv(latent=theirs.latent_dim, encoder=1, hidden=1, channels=1))
        self.encoder = _Joined(theirs.encoder)
        self.decoder = _Logits(theirs.decoder)


class _Joined(nn.Module):
    def __init__(self, theirs: Any):
        super().__init__()
        self.theirs = theirs

    def forward(self, x: Tensor) -> Tensor:
        out = self.theirs(x)
        return torch.cat([out.embedding, out.log_covariance], dim=-1)


class _Logits(nn.Module):
    """Without the last sigmoid."""

    def __init__(self, theirs: Any):
        super().__init__()
        self.layers = nn.Sequential(theirs.layers[0], theirs.layers[1][0])

    def forward(self, z: Tensor, teacher: Tensor | None = None) -> Tensor:
        return self.layers(z).view(-1, 1, 28, 28)


def compare_loops(epochs: int) -> None:
    """Print seconds an epoch of pythae's trainer and of our loop, on pythae's network."""
    import logging

    from pythae import models  # pyright: ignore[reportMissingImports]
    from pythae.trainers import BaseTrainer, BaseTrainerConfig  # pyright: ignore[reportMissingImports]

    logging.disable(logging.CRITICAL)
    torch.manual_seed(0)
    grey = (torch.rand(23_000, 1, 28, 28) < 0.1).to(torch.uint8) * 255
    binary = binarise(grey)
    theirs = models.VAE(models.VAEConfig(input_dim=(1, 28, 28), latent_dim=32, reconstruction_loss="bce"))
    mine = job(TwoLayers(deepcopy(theirs)))

    def pythae() -> None:
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder, num_epochs=1, per_device_train_batch_size=BATCH, learning_rate=1e-3, no_cuda=True
            )
            with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere):  # its bar
                BaseTrainer(model=theirs, train_dataset=_Images(binary), training_config=config).train()

    def ours() -> None:
        mine.batches = 0
        one_epoch(mine, 0, grey, Path(os.devnull), lambda _: None, lambda: False)

    seconds: dict[str, list[float]] = {"pythae": [], "ours": []}
    for _ in range(epochs):
        for name, call in (("pythae", pythae), ("ours", ours)):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    yardstick = median(seconds["pythae"])
    print(
        f"pythae's default VAE, 23,000 images, batch {BATCH}, {torch.get_num_threads()} threads, {epochs} epochs each"
    )
    for name, s in seconds.items():
        print(f"{name:10}{median(s):8.2f} s an epoch ({min(s):.2f} .. {max(s):.2f}){yardstick / median(s):7.2f} x")


class _Images(torch.utils.data.Dataset):
    def __init__(self, images: Tensor):
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int):
        from pythae.data.datasets import DatasetOutput  # pyright: ignore[reportMissingImports]

        return DatasetOutput(data=self.images[i])


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="paper")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--pythae", action="store_true")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settle_memory()
    if args.pythae:
        compare_loops(args.epochs)
    else:
        compare_steps(args.arch, args.steps, args.device, args.bf16)


if __name__ == "__main__":
    main()
