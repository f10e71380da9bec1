"""How far a search in bfloat16 can be trusted: the loss it sees against the loss there is.

    python benchmarks/precision.py [--data glyphs] [--model vae] [--images 20] [--steps 1000] [--threads 2]

Adam from the prior on the same images twice, with the decoder in float32 and under bfloat16 autocast. Every 100 steps:
the mean loss that each search sees, by how much it fell since the look before, the part of the searches that would
have met a threshold of 0.01 and of 0, and, for bfloat16, the loss of the same codes in float32. Where the seen loss
moves by more than it falls, a threshold is met by rounding and not by convergence.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from itertools import pairwise

import torch
from torch import Tensor

from lso_bench.space import Space
from tasks.reconstruction import Reconstruction
from vae.checkpoint import load_model
from vae.data import load
from vae.zoo import Model, checkpoint

EVERY = 100  # steps between two looks


def losses(space: Space, task: Reconstruction, z: Tensor, bf16: bool) -> Tensor:
    """Of each code, (k)."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        x = space.decode(z.unsqueeze(1))
    return -task.score(x.float()).squeeze(1)


def searched(space: Space, task: Reconstruction, start: Tensor, steps: int, bf16: bool) -> list[tuple[Tensor, Tensor]]:
    """What the search sees and what there is at every look, (k) each."""
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="glyphs")
    parser.add_argument("--model", default="vae")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    vae, _ = load_model(checkpoint(Model(given.model, given.data)))
    task = Reconstruction(given.data, given.images).bind(load(given.data).test)
    space = Space(vae, "teacher", task.targets())
    start = torch.randn(given.images, vae.arch.latent, generator=torch.Generator().manual_seed(0))
    print(f"{given.model} on {given.data}, {given.images} images, Adam, lr 0.1, change of the loss in {EVERY} steps")
    for name, bf16 in (("float32", False), ("bfloat16", True)):
        print(f"\n{name:9}{'step':>6}{'seen':>10}{'in float32':>12}{'fell by':>10}{'<= 0.01':>9}{'<= 0':>7}")
        looks = searched(space, task, start, given.steps, bf16)
        for i, ((before, _), (seen, real)) in enumerate(pairwise(looks)):
            fell = before - seen
            met = f"{(fell <= 0.01).float().mean():9.0%}{(fell <= 0).float().mean():7.0%}"
            print(f"{'':9}{(i + 1) * EVERY:6}{seen.mean():10.3f}{real.mean():12.3f}{fell.mean():10.4f}{met}")


if __name__ == "__main__":
    main()
