"""A classifier of images, grey or binary."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lso_bench.vae.data import binarise
from lso_bench.vae.networks import halving_block

BATCH = 500  # images measured at once
SHIFT = 2  # largest shift of a training image, in pixels


class Classifier(nn.Module):
    """Classifier from images to logits: three residual blocks that halve the image, then one linear layer."""

    def __init__(self, classes: Sequence[str], size: int = 28):
        super().__init__()
        self.classes = tuple(classes)
        side = -(-size // 8)
        self.main = nn.Sequential(
            halving_block(1, 16),
            halving_block(16, 32),
            halving_block(32, 48),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(48 * side**2, len(self.classes)),
        )

    def forward(self, x: Float[Tensor, "*b 1 h w"]) -> Float[Tensor, "*b c"]:
        images = x.reshape(-1, *x.shape[-3:]).to(next(self.parameters()).dtype)  # a search may be in double precision
        return self.main(images).reshape(*x.shape[:-3], -1)

    def loss(self, grey: UInt8[Tensor, "b 1 h w"], label: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        """Compute the cross entropy in nats, averaged over a training batch.

        Each image is seen as a decoder may give it: its grey levels or a binary draw of them, with even chance.
        """
        draw = torch.rand(len(grey), 1, 1, 1, device=grey.device) < 0.5
        shift = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
        x = torch.where(draw, binarise(grey), grey.float() / 255).roll(shift, (-2, -1))
        return cross_entropy(self(x), label)

    @torch.no_grad()
    def test_metrics(self, x: Float[Tensor, "n 1 h w"], label: Int[Tensor, " n"]) -> dict[str, float]:
        """Return the accuracy of the likeliest class on `x`, in [0, 1], and the number of images."""
        predicted = torch.cat([self(part).argmax(-1) for part in x.split(BATCH)])
        return {"accuracy": (predicted == label).double().mean().item(), "images": len(x)}
