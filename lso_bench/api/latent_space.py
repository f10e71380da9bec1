"""Latent space of a trained model, to decode and encode by hand."""

from pathlib import Path

from lso_bench.errors import UsageError
from lso_bench.run_settings import PRIOR
from lso_bench.runner.cache import Loaded
from lso_bench.runner.run import coordinates_of
from lso_bench.search.coordinates import parse
from lso_bench.search.space import Space, free_running
from lso_bench.search.text_space import TextSpace
from lso_bench.study.lookup import find_checkpoint, is_external, named_model
from lso_bench.vae.data import load
from lso_bench.vae.datasets import DATASETS, TextSource
from lso_bench.vae.frozen_models import FROZEN_MODELS, FrozenModel


def space(
    model: str | FrozenModel,
    data: str = "omniglot",
    arch: str | None = None,
    latent: int = 32,
    seed: int = 0,
    checkpoint: str | Path = "",
    space: str = PRIOR,
) -> Space:
    """Return the frozen latent space of a trained model, or of a frozen model of your own: a path or an object.

    `space.decode(z)` takes latents of shape (k, n, d) and gives images of shape (k, n, 1, h, w). `space.means(x)` takes
    images of shape (b, 1, h, w) and gives the encoder's means, of shape (b, d). `space.latent` is d.

    Of a model of texts, `space.texts(z)` gives the n texts of each problem, k lists, and `space.means(texts)` takes a
    list of texts.

    With other coordinates than z, `decode` takes u and `means` gives u, and `space.latent` is their number.
    `space.to_z(u)` and `space.to_u(z)` convert.

    Args:
        arch: architecture; default: `"small"`, of texts `"gru"`.
        checkpoint: file of the weights; default: those of the named model.
        space: coordinates: `"prior"` (z itself), or `"standard"`, `"pca:8"` or `"examples:9"`, which read the training
            images of `data`.

    Raises:
        UsageError: no such model, data set, architecture or coordinates.
        UnusableError: there are no weights; the message gives the command that trains them.
    """
    name, loaded = FROZEN_MODELS.named(model), Loaded()
    named = named_model(name, None if is_external(name) else data, arch, latent, seed)
    if checkpoint and named.external:
        raise UsageError(f"Model {name!r} names its weights itself; leave `checkpoint` out.")
    path = Path(checkpoint) if checkpoint else find_checkpoint(named)
    vae, _ = loaded.model(named, path, "cpu")
    parse(space, vae.latent)
    mapping = None if space == PRIOR else coordinates_of(space, named, path, load(named.data), loaded)
    decoding = free_running(DATASETS.build(named.data).likelihood) if vae.autoregressive else "mean"
    if isinstance(source := DATASETS.build(named.data), TextSource):
        return TextSpace(vae, decoding, source, coordinates=mapping)
    return Space(vae, decoding, coordinates=mapping)
