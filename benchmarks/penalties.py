"""Penalties of latents drawn from the prior, beside the scores of their samples: from which weights follow.

    python benchmarks/penalties.py [--draws 100] [--twice]

Prints the standard deviation of the score in models of images, expressions and molecules, and of each penalty, with
the weight at which one standard deviation of the penalty costs one of the score, and the seconds of processor time of
a point. `--twice` takes latents twice as far from the origin.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import time

import torch

from lso_bench.search.penalties import PENALTIES, penalty
from lso_bench.search.space import Space
from lso_bench.study.lookup import find_checkpoint, named_model
from lso_bench.task import TASKS
from lso_bench.vae import data
from lso_bench.vae.loading import load

TEXTS = ("beta_vae_0.1", "beta_vae_0.5", "nevae_se")
CASES = {"digit_score": ("vae", "nevae_se"), "expression": TEXTS, "guacamol:objective=osimertinib_mpo": TEXTS}


@torch.no_grad()
def measured(task_name: str, model_name: str, draws: int, factor: float) -> str:
    """Return a line for a model and a task."""
    task = TASKS.build(task_name)
    model = named_model(model_name, task.data, None if task_name != "digit_score" else "conv", 32, 0)
    vae, _ = load(model, find_checkpoint(model))
    task = task.bind(data.load(task.data).test.float()).at(torch.zeros(1, dtype=torch.long))
    space = Space(vae, "greedy" if vae.autoregressive else "mean")
    z = factor * torch.randn(draws, vae.latent, generator=torch.Generator().manual_seed(0))
    x = space.decode(z[None])
    score = task.score(x)[0].double().std().item()
    cells = [f"{task_name} {model_name}: score {score:.2g}"]
    for kind in [kind for kind in PENALTIES if kind != "none"]:
        began = time.process_time()
        values = penalty(kind, space, z, space.discrete_of(x)[0])
        seconds, spread = (time.process_time() - began) / draws, values.std().item()
        cells.append(f"{kind} {spread:.2g} (weight {score / spread:.2g}, {1000 * seconds:.2g} ms)")
    return "; ".join(cells)


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--twice", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for task, models in CASES.items():
        for model in models:
            print(measured(task, model, options.draws, 2.0 if options.twice else 1.0), flush=True)


if __name__ == "__main__":
    main()
