"""Diagnostics of the final point of a search, recorded beside its score."""

import hashlib
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from lso_bench.record import RETRIEVED, SHARES
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.scores import reported
from lso_bench.search.sample_space import SampleSpace
from lso_bench.search.space import Space
from lso_bench.task import Task
from lso_bench.task.text_task import TextTask
from lso_bench.vae.code_use import retrieval_of_latents

TEST_IMAGES = 500  # test images of the baseline of a task's auxiliary values


@torch.no_grad()
def diagnose(space: Space, task: Task, z: Float[Tensor, "k d"], x: Float[Tensor, "k *shape"]) -> list[dict[str, Any]]:
    """Return `consistency`, `image` and `beside` of `SearchResult`, for latents z and their decoded samples x.

    If the encoder was trained on binary samples, it gets the likeliest one: a draw would add randomness. The hash
    `image` is that of `compared`.

    Raises:
        PluginError: the task's auxiliary values are not one number a sample, or the task raises.
    """
    binary = space.vae.likeliest(x)
    encoder_input = binary.to(x) if space.vae.binary_input else x
    finite = x.flatten(1).isfinite().all(-1)  # a search that diverged has no sample to encode
    distances = torch.full((len(z),), torch.nan)
    if finite.any() and space.vae.has_encoder:
        distances[finite.cpu()] = (space.posterior(encoder_input[finite]).mean - z[finite]).norm(dim=-1).float().cpu()
    hashes = [hashlib.sha256(c.cpu().numpy().tobytes()).hexdigest()[:16] for c in compared(space, x)]
    auxiliary = {name: numbers[:, 0].tolist() for name, numbers in _auxiliary(task, x.unsqueeze(1)).items()}
    rows = [dict(zip(auxiliary, row, strict=True)) for row in zip(*auxiliary.values(), strict=True)] or [{} for _ in x]
    return [
        {"consistency": c, "image": i, "beside": b} for c, i, b in zip(distances.tolist(), hashes, rows, strict=True)
    ]


def compared(space: Space, x: Float[Tensor, "k *shape"]) -> Shaped[Tensor, "k *shape"]:
    """Return what equal samples have in common: of binary data and texts the likeliest sample, of other images levels.

    These are 0..255. Samples whose numbers are not in [0, 1] stay as they are.
    """
    if not space.vae.bounded:
        return x
    return space.vae.likeliest(x) if space.vae.discrete else (x.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)


def free_running_retrieval(
    space: Space,
    z: Float[Tensor, "k d"],
    targets: Float[Tensor, "m *shape"] | None,
    instances: Int[Tensor, " k"],
    seed: int,
) -> list[dict[str, float]]:
    """Return `retrieved` of each search under the decoding "teacher", by `retrieval_of_latents`; else nothing.

    Under a teacher the decoded sample saw its target. A free-running sample has its latent alone. A single target has
    no others to be nearer to, and a search of samples has no latent. Of a latent that is not finite the share is 0.
    """
    if space.decoding != "teacher" or isinstance(space, SampleSpace) or targets is None or len(targets) < 2:
        return [{} for _ in z]
    shares = retrieval_of_latents(space.vae, z.to(space.dtype), targets.to(space.dtype), instances, seed)
    shares = shares.where(z.isfinite().all(-1), 0.0)
    return [{RETRIEVED: share} for share in shares.tolist()]


def _auxiliary(task: Task, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
    """Return the task's auxiliary values of `x`; the task gets a copy of `x`.

    Raises:
        PluginError: they are not one number a sample, or the task raises.
    """
    with plugin_errors("task", task):
        return reported(task.beside(x.clone()), x)


@torch.no_grad()
def baseline_on_test_set(task: Task, test: Float[Tensor, "t *shape"]) -> dict[str, float]:
    """Return a task's auxiliary values of test images: medians; of shares their means.

    Of texts there are none: their `valid` asks for scores, and a scorer of texts may take minutes a call.
    """
    if isinstance(task, TextTask):
        return {}
    with plugin_errors("task", task):
        first = task.at(torch.zeros(1, dtype=torch.long, device=test.device))
    auxiliary = _auxiliary(first, test[None, :TEST_IMAGES])
    return {name: (v.mean() if name in SHARES else v.median()).item() for name, v in auxiliary.items()}
