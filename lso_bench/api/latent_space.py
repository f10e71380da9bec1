"""Latent space of a trained model, to decode and encode by hand."""

from pathlib import Path

from lso_bench.search.space import Space
from lso_bench.study.lookup import find_checkpoint, named_model
from lso_bench.vae import loading
from lso_bench.vae.checkpoint import load_model
from lso_bench.vae.model import LatentModel


def space(
    model: str,
    data: str = "omniglot",
    arch: str = "small",
    latent: int = 32,
    seed: int = 0,
    checkpoint: str | Path = "",
) -> Space:
    """Return the frozen latent space of a trained model.

    `space.decode(z)` takes latents of shape (k, n, d) and gives images of shape (k, n, 1, h, w). `space.means(x)` takes
    images of shape (b, 1, h, w) and gives the encoder's means, of shape (b, d). `space.latent` is d.

    Args:
        checkpoint: file of the weights; default: those of the named model.

    Raises:
        UsageError: no such model, data set or architecture.
        UnusableError: there are no weights; the message gives the command that trains them.
    """
    if checkpoint:
        vae: LatentModel = load_model(Path(checkpoint))[0]
    else:
        named = named_model(model, data, arch, latent, seed)
        vae, _ = loading.load(named, find_checkpoint(named))
    return Space(vae, "sample" if vae.autoregressive else "mean")
