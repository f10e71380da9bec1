"""One step of Adam on 50 images from 2 starts: lockstep on the frozen decoder, against two plain ways.

    python benchmarks/adam.py [--steps 5] [--threads 2] [--arch small] [--device cuda]

Prints the median seconds and the range for (a) ours, plain and by torch.compile (its compilation not counted), on a
GPU both also replayed as a CUDA graph, (b) the same batch on the network as trained (evaluation mode, batch norm not
folded, gradients to the weights too), (c) one image and start after the other on that network, each by turns with (a),
plain, in this one process; the floors of such a step; and the largest difference between the images of (a), either way,
and (b).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor
from train import floor, timed

from lso_bench.runner.cuda_graph import CapturedScores
from lso_bench.search.space import Space
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.model import VAE

IMAGES, STARTS, OURS = 50, 2, "lockstep, frozen"


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


@dataclass(frozen=True)
class Searched:
    """Surroundings of a step: a network, the images sought, and a code for every image and start."""

    vae: VAE
    x: Tensor
    z: Tensor
    decoding: str

    def space(self, compile: bool = False) -> Space:
        return Space(self.vae, self.decoding, self.x, compile=compile)

    def captured(self, compile: bool = False) -> Callable[[], object]:
        space, z = self.space(compile), self.z.unsqueeze(1)
        graph = CapturedScores(lambda z: scores(space, z, self.x), z, True)
        return lambda: graph(z)

    def lockstep(self, compile: bool = False) -> Callable[[], object]:
        space = self.space(compile)
        return lambda: lockstep(space, self.z, self.x)


def beginning(arch: str, device: str) -> Searched:
    """A network with random weights, random images and codes; as in a run, nothing is multiplied in TF32."""
    torch.manual_seed(0)
    torch.backends.cudnn.allow_tf32 = False
    plan = architecture(arch, 32)
    x = (torch.rand(IMAGES, 1, 28, 28) < 0.1).float().repeat(STARTS, 1, 1, 1).to(device)
    z = torch.randn(IMAGES * STARTS, 32).to(device).requires_grad_()
    return Searched(VAE(plan).eval().to(device), x, z, "teacher" if plan.autoregressive else "mean")


def ways(searched: Searched, compiled: bool = True) -> dict[str, Callable[[], Callable[[], object]]]:
    """Functions that prepare the compared steps, by name, the dearest last; the first is the yardstick."""
    s = searched
    every: dict[str, Callable[[], Callable[[], object]]] = {
        OURS: s.lockstep,
        "one batch, as trained": lambda: lambda: plain(s.vae, s.z, s.x),
        "one image at a time, as trained": lambda: lambda: one_by_one(s.vae, s.z, s.x),
    }
    if s.x.is_cuda:
        every[f"{OURS}, captured"] = s.captured
    if compiled:
        every[f"{OURS}, compiled"] = lambda: s.lockstep(True)
    if compiled and s.x.is_cuda:
        every[f"{OURS}, both"] = lambda: s.captured(True)
    return every


def measured(searched: Searched, name: str, compiled: bool, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of the steps of one way, and of ours, plain, between them."""
    every = ways(searched, compiled)
    calls = {n: every[n]() for n in dict.fromkeys((OURS, name))}
    seconds = timed(calls, steps, searched.x.device.type, warm=1)
    return seconds[name], seconds[OURS]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--arch", default="small", choices=list(ARCHITECTURES.names()))
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    s = beginning(args.arch, args.device)
    images = s.vae.decode(s.z, s.x).mean
    spaces = [s.space(compile) for compile in (False, True)]
    differences = [(a.decode(s.z.unsqueeze(1)).squeeze(1) - images).abs().max().item() for a in spaces]
    where = f"{args.device}, {args.threads} threads"
    print(f"{IMAGES} images x {STARTS} starts, {args.arch}, {where}, {args.steps} steps each")
    for name in ways(s):
        seconds, ours = measured(s, name, True, args.steps)
        mid = median(seconds)
        print(f"{name:32}{mid:9.4f} s ({min(seconds):.4f} .. {max(seconds):.4f}){mid / median(ours):8.2f} x")
    least = floor(spaces[0].vae, lambda: lockstep(spaces[0], s.z, s.x), args.device)
    print(f"floors: arithmetic {least.arithmetic:.4f} s, memory {least.memory:.4f} s, counted as in train.py")
    print(f"largest difference of the images: {max(differences):.1e}")


if __name__ == "__main__":
    main()
