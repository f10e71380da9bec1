"""Encode a model's own image, with a choice of what batch norm makes of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lso_bench.vae.model import VAE

Statistics = Literal["shared", "data", "frozen"]


def reencode(vae: VAE, image: Float[Tensor, "b 1 h w"], norm: Statistics) -> Distribution:
    """q(z|image), where in training batch norm normalises by the statistics of `image` and counts them into its
    running ones ("shared", what calling the encoder twice does), does not count them ("data"), or normalises by the
    running ones ("frozen").
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
