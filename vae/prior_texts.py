"""Texts that a model gives to draws of the prior: how many are valid, distinct and novel."""

import torch
from torch import Tensor

from lso_bench.vae.datasets import TextSource
from lso_bench.vae.metrics import BATCH
from lso_bench.vae.model import LatentModel
from lso_bench.vae.sampling import sample
from lso_bench.vae.text_samples import TextSamples

Shares = dict[str, tuple[float, int]]  # by measure: a share, and of how many texts


@torch.no_grad()
def prior_shares(vae: LatentModel, source: TextSource, train: Tensor, n: int, seed: int) -> Shares:
    """Return the shares of valid, distinct and novel texts x ~ p(x|z) of n latents z ~ p(z).

    Valid: of all texts; it is missing where the data set cannot tell, and all count as valid then. Distinct: of the
    valid texts, each counted once. Novel: of the distinct valid texts, those that are no training text. A share of
    nothing is missing. Source: Brown et al. 2019, "GuacaMol", section 2.

    Args:
        train: the training texts as they are stored, tokens (n, t).
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        z = torch.randn(n, vae.latent).to(vae.device)
        drawn = torch.cat([sample(vae, part)[0].cpu() for part in z.split(BATCH)])
    texts = TextSamples(source).texts(drawn)
    verdicts = source.valid(texts)
    valid = texts if verdicts is None else [text for text, good in zip(texts, verdicts, strict=True) if good]
    distinct = {*valid}
    novel = distinct.difference(source.texts(train.numpy()))
    counts = {"prior_distinct": (len(distinct), len(valid)), "prior_novel": (len(novel), len(distinct))}
    if verdicts is not None:
        counts = {"prior_valid": (len(valid), n)} | counts
    return {name: (part / whole, whole) for name, (part, whole) in counts.items() if whole}
