"""Facts of our Omniglot that its -ELBO depends on: the entropy of the grey levels, and the characters of both parts.

A model is shown a binary draw of the grey levels. Their entropy is how much of -log p(x) the draw alone accounts for.
"""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.special import entr

from lso_bench.files.paths import data_folder
from lso_bench.vae.data import SPLIT_SEED
from lso_bench.vae.datasets.omniglot import Omniglot

DRAWINGS = 20  # of each of the 1,623 characters; images are in the order of characters


def entropy_of_a_draw(grey: UInt8[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Compute the entropy of a binary draw of each image, in nats, summed over pixels."""
    ink = grey.double() / 255
    return (entr(ink) + entr(1 - ink)).sum((1, 2))


def drawings_in_training(train: Int[Tensor, " n"], test: Int[Tensor, " t"]) -> Int[Tensor, " t"]:
    """Count for each test drawing the training drawings of the same character; both are numbers of drawings."""
    return torch.bincount(train // DRAWINGS, minlength=int(test.max()) // DRAWINGS + 1)[test // DRAWINGS]


def main() -> None:
    """Print the facts, of the split that models are trained and measured with."""
    images = torch.from_numpy(Omniglot().images(data_folder()))
    train, _, test = map(torch.as_tensor, Omniglot().split(len(images), torch.Generator().manual_seed(SPLIT_SEED)))
    counts = drawings_in_training(train, test)
    print(f"{len(images):,} drawings of {len(images) // DRAWINGS:,} characters; {len(test):,} are test drawings")
    print(f"entropy of a binary draw of a test drawing: {entropy_of_a_draw(images[test]).mean():.1f} nats on average")
    print(f"test drawings of characters that are in training: {(counts > 0).double().mean():.2%}")
    print(f"training drawings of a test drawing's character: median {counts.median()}")


if __name__ == "__main__":
    main()
