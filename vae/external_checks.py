"""Checks of a frozen model from outside before it is used: finite samples in their range, the same asked twice."""

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.vae.external_model import ExternalModel

LATENTS = 8  # latents that are decoded
BEYOND = 1e-4  # by which samples may leave [0, 1]
ALIKE = 1e-3  # largest difference of two answers, relative to the largest value, of a model in single precision
SUMMED = 32  # machine epsilons by which two answers of a model in a lower precision may differ
QUIET = "draw no noise, and pass training=False to functional.dropout"


def check(model: ExternalModel) -> None:
    """Refuse a model whose outputs no search can use; `lso-bench check-model` tests more.

    Raises:
        PluginError: samples are not finite, images leave [0, 1], or the same input gets two answers.
    """
    (z, x), (z_again, x_again) = (_answers(model, seed) for seed in (1, 2))
    if fault := samples_fault(x, model.bounded):
        raise PluginError(f"model {model.name}: {fault}; `lso-bench check-model` tests all it must keep")
    for method, first, again in (("encode", z, z_again), ("decode", x, x_again)):
        if not _alike(first, again, model.rounding):
            raise PluginError(f"model {model.name}: wanted the same from {method} asked twice, got others; {QUIET}")


def latents(model: ExternalModel) -> Float[Tensor, "n d"]:
    """Return the latents that `check` decodes, drawn from the prior."""
    return torch.randn(LATENTS, model.latent, generator=torch.Generator().manual_seed(0))


def samples_fault(x: Float[Tensor, "n *shape"], bounded: bool) -> str:
    """Return what is wrong with decoded samples, and what to do; empty if nothing is."""
    if bad := int((~x.flatten(1).isfinite().all(-1)).sum()):
        return f"wanted finite samples from decode, got {bad} of {len(x)} that are not; look at its weights"
    low, high = x.min().item(), x.max().item()
    if bounded and not -BEYOND <= low <= high <= 1 + BEYOND:
        return f"wanted images in [0, 1] from decode, got {low:.3g} to {high:.3g}; end it in a sigmoid or a clamp"
    return ""


@torch.no_grad()
def _answers(model: ExternalModel, seed: int) -> tuple[Tensor, Tensor]:
    """Return latents of the example and samples of `latents`, with global random numbers of that seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        z = model.encode(model.example()).mean if model.has_encoder else torch.zeros(1)
        return z, model.mean(latents(model))


def _alike(first: Tensor, again: Tensor, rounding: float) -> bool:
    size = max(first.abs().max().item(), 1e-30)
    return torch.allclose(first, again, rtol=0, atol=max(ALIKE, SUMMED * rounding) * size, equal_nan=True)
