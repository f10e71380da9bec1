"""Measure how far bfloat16 can be trusted: in a search by the loss it sees, in training by the results.

    python benchmarks/precision.py [--data glyphs] [--model vae] [--arch small] [--images 20] [--steps 1000]
    python benchmarks/precision.py --train [--data omniglot] [--model nevae_se] [--arch conv] [--epochs 3] [--seeds 3]

Adam from the prior on the same images twice, with the decoder in float32 and under bfloat16 autocast. Every 100 steps:
the mean loss that each search sees, by how much it fell since the look before, the part of the searches that would
have met a threshold of 0.01 and of 0, and, for bfloat16, the loss of the same codes in float32. Where the seen loss
moves by more than it falls, a threshold is met by rounding and not by convergence.

With --train: the same model trained in both precisions from the same seeds; -ELBO, KL, MI and active units of the test
images, measured in float32, as mean and standard deviation over the seeds, and the same of the difference of the two
precisions, seed by seed. `--images` then is how many images are trained on and how many are tested on (all).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import Tensor

from lso_bench.search.space import Space
from lso_bench.tasks.reconstruction import Reconstruction
from lso_bench.vae.checkpoint import load_model, read
from lso_bench.vae.data import Dataset, load
from lso_bench.vae.networks import PixelCNN
from lso_bench.vae.trained_model import Model, checkpoint
from lso_bench.vae.training import train
from lso_bench.vae.training_state import Plan

EVERY = 100  # steps between two looks
MEASURES = {
    "nelbo": "-ELBO, nats",
    "kl": "KL, nats",
    "mi": "MI, nats",
    "mi_b50": "MI in batches of 50",
    "au": "active units",
}


def losses(space: Space, task: Reconstruction, z: Tensor, bf16: bool) -> Tensor:
    """Losses of the codes, (k)."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        x = space.decode(z.unsqueeze(1))
    return -task.score(x.float()).squeeze(1)


def searched(space: Space, task: Reconstruction, start: Tensor, steps: int, bf16: bool) -> list[tuple[Tensor, Tensor]]:
    """Losses that the search sees and true losses at every look, (k) each."""
    z = start.clone().requires_grad_()
    optimizer, looks = torch.optim.Adam([z], lr=0.1), []
    for step in range(steps + 1):
        optimizer.zero_grad()
        seen = losses(space, task, z, bf16)
        if step % EVERY == 0:
            with torch.no_grad():
                looks.append((seen.detach(), losses(space, task, z, False)))
        seen.sum().backward()
        optimizer.step()
    return looks


def compare_searches(model: Model, images: int, steps: int) -> None:
    """Print what a search in each precision sees, and what there is."""
    vae, _ = load_model(checkpoint(model))
    task = Reconstruction(model.data, images).bind(load(model.data).test)
    pixelcnn = isinstance(vae.decoder, PixelCNN)
    space = Space(vae, "teacher" if pixelcnn else "mean", task.targets() if pixelcnn else None)
    start = torch.randn(images, vae.arch.latent, generator=torch.Generator().manual_seed(0))
    print(f"{model.name} on {model.data}, {images} images, Adam, lr 0.1, change of the loss in {EVERY} steps")
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        print(f"\n{name:9}{'step':>6}{'seen':>10}{'in float32':>12}{'fell by':>10}{'<= 0.01':>9}{'<= 0':>7}")
        looks = searched(space, task, start, steps, bf16)
        for i, ((before, _), (seen, real)) in enumerate(pairwise(looks)):
            fell = before - seen
            met = f"{(fell <= 0.01).float().mean():9.0%}{(fell <= 0).float().mean():7.0%}"
            print(f"{'':9}{(i + 1) * EVERY:6}{seen.mean():10.3f}{real.mean():12.3f}{fell.mean():10.4f}{met}")


def trained(model: Model, data: Dataset, epochs: int, precision: str) -> dict[str, float]:
    """Metrics of the test images after a training, by the names of `vae.metrics.Metrics`."""
    plan = Plan(model, epochs, min(10.0, epochs / 3), precision=precision)  # pyright: ignore[reportArgumentType]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / model.file
        train(plan, data, path)
        return read(path)[1]["metrics"]


def compare_trainings(model: Model, images: int | None, epochs: int, seeds: int) -> None:
    """Print what is measured after trainings in each precision, and how far the two are apart."""
    data = load(model.data)
    data = replace(data, train=data.train[:images], test=data.test[:images])
    metrics: dict[str, list[dict[str, float]]] = {"fp32": [], "bf16": []}
    for seed in range(seeds):
        for precision, rows in metrics.items():
            rows.append(trained(replace(model, seed=seed), data, epochs, precision))
    print(
        f"{model.name} on {model.data}, {model.arch}, {epochs} epochs, {len(data.train):,} images; on "
        f"{len(data.test):,} test images, mean +- standard deviation of {seeds} seeds"
    )
    print(f"{'':22}{'fp32':>20}{'bf16':>20}{'bf16 - fp32':>20}{'at most':>10}")
    for key, name in MEASURES.items():
        fp32, bf16 = ([row[key] for row in metrics[p]] for p in ("fp32", "bf16"))
        apart = [b - a for a, b in zip(fp32, bf16, strict=True)]
        print(f"{name:22}{over(fp32):>20}{over(bf16):>20}{over(apart):>20}{max(map(abs, apart)):10.3f}")


def over(values: Sequence[float]) -> str:
    """Their mean, and their spread where there is one."""
    return f"{mean(values):.3f}" + (f" +- {stdev(values):.3f}" if len(values) > 1 else "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--data")
    parser.add_argument("--model")
    parser.add_argument("--arch")
    parser.add_argument("--images", type=int)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    usual = ("nevae_se", "omniglot", "conv") if args.train else ("vae", "glyphs", "small")
    name, data, arch = (g or u for g, u in zip((args.model, args.data, args.arch), usual, strict=True))
    if args.train:
        compare_trainings(Model(name, data, arch), args.images, args.epochs, args.seeds)
    else:
        compare_searches(Model(name, data, arch), args.images or 20, args.steps)


if __name__ == "__main__":
    main()
