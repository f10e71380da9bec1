"""64 images from a PixelCNN: one new column of activations a step, against 784 passes of the whole network.

    python benchmarks/sampling.py [--arch small] [--images 64] [--threads 2] [--pixels 784]

Both draw with the same noise; prints seconds, and the largest difference of the probabilities and of the images. With
fewer --pixels the plain way draws only the first ones, and its time is scaled to all of them.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time

import torch
from torch import Tensor

from lso_bench.process import settle_memory
from lso_bench.vae.architectures import architecture
from lso_bench.vae.frozen import freeze
from lso_bench.vae.model import VAE
from lso_bench.vae.sampling import sample


@torch.no_grad()
def whole_passes(vae: VAE, z: Tensor, noise: Tensor, pixels: int) -> tuple[Tensor, Tensor]:
    """Sample as `vae.sampling.sample` does, recomputing the whole image for each of the first `pixels` pixels."""
    x, mean = torch.zeros(len(z), 1, 28, 28), torch.zeros(len(z), 1, 28, 28)
    for n in range(pixels):
        i, j = divmod(n, 28)
        mean[:, 0, i, j] = vae.decode(z, x).mean[:, 0, i, j]
        x[:, 0, i, j] = (mean[:, 0, i, j] > noise[:, 0, i, j]).float()
    return x, mean


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="small")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--pixels", type=int, default=784)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    settle_memory()
    torch.manual_seed(0)
    vae = freeze(VAE(architecture(args.arch, 32)).eval())
    z, noise = torch.randn(args.images, 32), torch.rand(args.images, 1, 28, 28)
    start = time.perf_counter()
    ours, our_mean = sample(vae, z, noise)
    cached = time.perf_counter() - start
    start = time.perf_counter()
    plain, mean = whole_passes(vae, z, noise, args.pixels)
    whole = (time.perf_counter() - start) * 784 / args.pixels
    print(f"{args.images} images, {args.arch}, {args.threads} threads; the whole passes measured over {args.pixels}")
    print(f"whole passes, frozen network {whole:8.2f} s")
    print(f"cached columns               {cached:8.2f} s {whole / cached:6.1f} x")
    rows = args.pixels // 28
    print(
        f"largest difference: probabilities {(our_mean - mean)[:, :, :rows].abs().max():.1e}, "
        f"images {(ours - plain)[:, :, :rows].abs().max():.0f}"
    )


if __name__ == "__main__":
    main()
