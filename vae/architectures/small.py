"""The paper's networks with fewer and narrower layers."""

from dataclasses import dataclass

from lso_bench.vae.architectures.paper import Paper


@dataclass(frozen=True)
class Small(Paper):
    """ResNet encoder and PixelCNN of seven layers, for a CPU."""

    encoder: int = 32
    hidden: int = 128
    channels: int = 32
    kernels: tuple[int, ...] = (7, 7, 7, 5, 5, 3, 3)
    skips: bool = False
