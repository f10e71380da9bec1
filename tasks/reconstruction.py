"""Reconstruct single images: the latent-search task of arXiv 2103.11349, section 5.4."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench import Task


@dataclass(frozen=True)
class Reconstruction(Task):
    """Minus the squared error between a sample and the instance's image, summed over pixels; 0 is best.

    The images are drawn without replacement, by `seed`, from the binarised test set.
    """

    data: str = "omniglot"
    instances: int = 50
    seed: int = 0  # of the choice of images
    images: Float[Tensor, "i *shape"] | None = None  # not a setting: filled by `bind` and `at`

    optimum = 0.0
    has_targets = True
    variants = {"omniglot50": {"data": "omniglot"}, "mnist50": {"data": "mnist"}, "glyphs50": {"data": "glyphs"}}

    def bind(self, test: Float[Tensor, "t *shape"]) -> "Reconstruction":
        if not 1 <= self.instances <= len(test):
            raise ValueError(f"wanted 1 to {len(test)} instances, got {self.instances}")
        chosen = torch.randperm(len(test), generator=torch.Generator().manual_seed(self.seed))[: self.instances]
        return replace(self, images=test[chosen])

    def at(self, instances: Int[Tensor, " k"]) -> "Reconstruction":
        return replace(self, images=self.targets()[instances.to(self.targets().device)])

    def targets(self) -> Float[Tensor, "k *shape"]:
        assert self.images is not None, "bind() comes first"
        return self.images

    def score(self, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n"]:
        return -(x - self.targets().unsqueeze(1)).square().flatten(2).sum(-1)
