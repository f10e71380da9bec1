"""One training step on a CPU: where its time goes, and what other arrangements of the same step would save.

    python benchmarks/train_profile.py [--arch small] [--bf16] [--steps 15]

The first table has the share of each kind of operation in one step of 50 images, one thread, by torch.profiler. The
second has other arrangements beside ours, by turns in this one process: the memory format that tensors have by default
(contiguous), torch.compile, a step of NE-VAE (which encodes twice), and MODELS models in one batch by torch.func, per
model. The last line has steps a second of two models: one after the other on two threads, and side by side in two
processes of one thread.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from multiprocessing import get_context
from statistics import median

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from train import BATCH, beginning, job, prepared, timed

from lso_bench.process import settle_memory
from lso_bench.vae.model import VAE
from lso_bench.vae.objectives.nevae_se import NeighborSE
from lso_bench.vae.training import step as training_step

MODELS = 4
KINDS = {
    "convolution, forwards": ("mkldnn_convolution", "_slow_conv2d_forward", "thnn_conv2d", "addmm", "mm"),
    "convolution, backwards": ("convolution_backward", "_slow_conv2d_backward"),
    "batch norm": ("native_batch_norm", "native_batch_norm_backward"),
    "ELU": ("elu_", "elu_backward"),
    "additions": ("add_", "add", "sum"),
    "copies and casts": ("copy_", "_to_copy", "clone", "fill_", "zero_"),
}


def shares(call: Callable[[], object], steps: int) -> dict[str, float]:
    """Share of each kind of operation in the time of the calls; the rest is `other`."""
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(steps):
            call()
    kinds = {f"aten::{name}": kind for kind, names in KINDS.items() for name in names}
    seconds: Counter[str] = Counter()
    for event in recorded.key_averages():
        seconds[kinds.get(event.key, "other")] += event.self_cpu_time_total
    return {kind: seconds[kind] / seconds.total() for kind in (*KINDS, "other")}


def arrangements(vae: VAE, x: Tensor, precision: str) -> dict[str, tuple[Callable[[], object], int]]:
    """Each way of a step, and the number of models that one call of it trains by one step."""
    setting = {"precision": precision}
    ours, contiguous = prepared(vae, "ours", setting), job(deepcopy(vae), **setting)
    compiled, nevae = prepared(vae, "ours", setting | {"compile": True}), prepared(vae, "ours", setting)
    contiguous.vae.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    nevae.loss = NeighborSE(anneal=False)
    return {
        "ours": (lambda: training_step(ours, x, 1.0), 1),
        "contiguous": (lambda: training_step(contiguous, x, 1.0), 1),
        "compiled": (lambda: training_step(compiled, x, 1.0), 1),
        "NE-VAE": (lambda: training_step(nevae, x, 1.0), 1),
        f"{MODELS} models by torch.func": (stacked_step(vae, x, precision), MODELS),
    }


def stacked_step(vae: VAE, x: Tensor, precision: str) -> Callable[[], object]:
    """A step of MODELS copies of a model as one batched network: forwards, backwards and Adam."""
    copies = [deepcopy(vae) for _ in range(MODELS)]
    weights, buffers = torch.func.stack_module_state(copies)  # pyright: ignore[reportArgumentType]
    network, optimizer = deepcopy(vae).to("meta"), torch.optim.Adam([*weights.values()], fused=True)

    def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor], noise: Tensor) -> Tensor:
        return torch.func.functional_call(_Loss(network), (_named(weights), _named(buffers)), (x, noise))

    def call() -> None:
        optimizer.zero_grad(set_to_none=True)
        noise = torch.randn(MODELS, len(x), vae.latent)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            total = torch.func.vmap(loss)(weights, buffers, noise).sum()
        total.backward()
        optimizer.step()

    return call


def _named(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"vae.{name}": tensor for name, tensor in tensors.items()}


class _Loss(torch.nn.Module):
    """-ELBO of a batch, with given noise of the latents."""

    def __init__(self, vae: VAE):
        super().__init__()
        self.vae = vae

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = self.vae.encoder(x).chunk(2, -1)
        z = mean + (log_variance / 2).exp() * noise
        logits = self.vae.decoder(z, x)
        rate = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
        return (rate + torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")) / len(x)


def steps_a_second(arch: str, precision: str, steps: int, threads: int, begin: Callable[[], object]) -> float:
    """Steps a second of one model; `begin` returns when all models that are timed together are warm."""
    torch.set_num_threads(threads)
    vae, x = beginning(arch, "cpu")
    ours = prepared(vae, "ours", {"precision": precision})
    for _ in range(3):
        training_step(ours, x, 1.0)
    begin()
    start = time.perf_counter()
    for _ in range(steps):
        training_step(ours, x, 1.0)
    return steps / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="small")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    precision = "bf16" if args.bf16 else "fp32"
    torch.set_num_threads(1)
    settle_memory()
    vae, x = beginning(args.arch, "cpu")
    print(f"{args.arch}, {precision}, batch {BATCH}, one thread, {args.steps} steps each")
    ways = arrangements(vae, x, precision)
    ways["ours"][0]()  # allocates memory once
    for kind, share in shares(ways["ours"][0], args.steps).items():
        print(f"{kind:26}{share:7.0%}")
    seconds = timed({name: call for name, (call, _) in ways.items()}, args.steps, "cpu")
    ours = median(seconds["ours"])
    for name, (_, models) in ways.items():
        of_model = median(seconds[name]) / models
        print(f"{name:26}{of_model:9.4f} s a model and step{of_model / ours:7.2f} x ours")
    successive = steps_a_second(args.arch, precision, args.steps, 2, lambda: None)
    with get_context("spawn").Manager() as manager, ProcessPoolExecutor(2, get_context("spawn")) as pool:
        warm = manager.Barrier(2).wait
        processes = [pool.submit(steps_a_second, args.arch, precision, args.steps, 1, warm) for _ in range(2)]
        parallel = sum(process.result() for process in processes)
    print(
        f"two models: {successive:.1f} steps a second after each other on two threads, {parallel:.1f} in two processes"
    )


if __name__ == "__main__":
    main()
