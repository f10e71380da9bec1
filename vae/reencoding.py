"""Re-encoding of a model's reconstruction: of its mean or of a draw, with a choice of batch-norm statistics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.vae.default_architecture import is_of_sequences
from lso_bench.vae.model import VAE

Statistics = Literal["shared", "data", "frozen"]
Channel = Literal["auto", "mean", "draw"]


def reconstruction(vae: VAE, p: Distribution, channel: Channel) -> Float[Tensor, "b *shape"]:
    """Return what of p(x|z) is re-encoded, with a gradient.

    `channel` is "mean", "draw" (a draw with straight-through gradients), or "auto": a draw of sequences of tokens, the
    mean of other samples. The decimals of a mean can carry the code, whatever the mean looks like; a draw has none. A
    draw from an autoregressive decoder is given the teacher's elements before each, which tell of x, too.
    """
    drawn = is_of_sequences(vae.arch.likelihood) if channel == "auto" else channel == "draw"
    return vae.density.straight_through(p, torch.rand_like(p.mean)) if drawn else p.mean


def reencode(vae: VAE, image: Float[Tensor, "b *shape"], norm: Statistics) -> Distribution:
    """Return q(z|image), with a choice of statistics for batch norm in training.

    `norm` is "shared" (normalise by the statistics of `image` and update the running ones, as a second call of the
    encoder does), "data" (normalise by them without the update), or "frozen" (normalise by the running ones).
    """
    if norm == "shared" or not vae.training:
        return vae.encode(image)
    with _batch_norm(vae.encoder, norm):
        return vae.encode(image)


@contextmanager
def _batch_norm(module: nn.Module, norm: Statistics) -> Iterator[None]:
    layers = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [(m.training, m.momentum) for m in layers]
    for m in layers:
        m.train(norm != "frozen")
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, (training, momentum) in zip(layers, before, strict=True):
            m.train(training)
            m.momentum = momentum
