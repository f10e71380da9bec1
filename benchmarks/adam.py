"""One step of Adam on 50 images from 2 starts: lockstep on the frozen decoder, against two plain ways.

    python benchmarks/adam.py [--steps 5] [--threads 2] [--arch small] [--device cuda]

Prints the median seconds and the range for (a) ours, plain and by torch.compile (its compilation not counted), on a
GPU both also replayed as a CUDA graph, (b) the same batch on the network as trained (evaluation mode, batch norm not
folded, gradients to the weights too), (c) one image and start after the other on that network, all in turns in this one
process, and the largest difference between the images of (a), either way, and (b).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from lso_bench.captured import CapturedScores
from lso_bench.space import Space
from vae.model import VAE
from vae.networks import ARCHITECTURES

IMAGES, STARTS = 50, 2


def lockstep(space: Space, z: Tensor, x: Tensor) -> None:
    """All images and starts in one batch, as `lso-bench run` does it."""
    z.grad = None
    (-scores(space, z.unsqueeze(1), x)).sum().backward()


def scores(space: Space, z: Tensor, x: Tensor) -> Tensor:
    """Minus the squared errors of codes (k, 1, d)."""
    return -(space.decode(z) - x.unsqueeze(1)).square().flatten(2).sum(-1)


def plain(vae: VAE, z: Tensor, x: Tensor) -> None:
    """The network as it was trained."""
    z.grad = None
    (vae.decode(z, x).mean - x).square().sum().backward()


def one_by_one(vae: VAE, z: Tensor, x: Tensor) -> None:
    """One image and start after the other."""
    for i in range(len(z)):
        plain(vae, z[i : i + 1].detach().requires_grad_(), x[i : i + 1])


def timed(ways: dict[str, Callable[[], object]], steps: int) -> dict[str, list[float]]:
    """Seconds of each way, by turns, after one of each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for step in range(steps + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if step > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--arch", default="small", choices=list(ARCHITECTURES))
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    vae = VAE(ARCHITECTURES[given.arch]).eval().to(given.device)
    x = (torch.rand(IMAGES, 1, 28, 28) < 0.1).float().repeat(STARTS, 1, 1, 1).to(given.device)
    z = torch.randn(IMAGES * STARTS, 32).to(given.device).requires_grad_()
    decoding = "mean" if given.arch == "conv" else "teacher"
    space, compiled = (Space(vae, decoding, x, compile=c) for c in (False, True))
    images = vae.decode(z, x).mean
    differences = [(s.decode(z.unsqueeze(1)).squeeze(1) - images).abs().max().item() for s in (space, compiled)]
    ways: dict[str, Callable[[], object]] = {
        "lockstep, frozen": lambda: lockstep(space, z, x),
        "lockstep, frozen, compiled": lambda: lockstep(compiled, z, x),
        "one batch, as trained": lambda: plain(vae, z, x),
        "one image at a time, as trained": lambda: one_by_one(vae, z, x),
    }
    if given.device != "cpu":
        graphs = [CapturedScores(lambda z, s=s: scores(s, z, x), z.unsqueeze(1), True) for s in (space, compiled)]
        ways["lockstep, frozen, captured"] = lambda: graphs[0](z.unsqueeze(1))
        ways["lockstep, frozen, both"] = lambda: graphs[1](z.unsqueeze(1))
    seconds = timed(ways, given.steps)
    ours = median(seconds["lockstep, frozen"])
    where = f"{given.device}, {given.threads} threads"
    print(f"{IMAGES} images x {STARTS} starts, {given.arch}, {where}, {given.steps} steps each")
    for name, s in seconds.items():
        print(f"{name:32}{median(s):8.3f} s ({min(s):.3f} .. {max(s):.3f}){median(s) / ours:8.1f} x")
    print(f"largest difference of the images: {max(differences):.1e}")


if __name__ == "__main__":
    main()
