"""Problems of samples, which a searcher of samples is tested on: near a hidden sequence or image."""

from functools import cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import one_hot

from lso_bench.search import Problem
from lso_bench.search.training_samples import TrainingSamples

TRAINING = 400  # training samples
LENGTH, VOCABULARY, SIDE = 6, 5, 8  # of sequences; pixels a side of images
SHAPES = {"sequences": (LENGTH, VOCABULARY), "images": (1, SIDE, SIDE)}
LIKELIHOODS = {"sequences": f"categorical:vocabulary={VOCABULARY}", "images": "bernoulli"}


@cache
def _stored(kind: str) -> UInt8[Tensor, "t *stored"]:
    """Return training samples: sequences of 2 to 6 tokens, or grey images."""
    generator = torch.Generator().manual_seed(0)
    if kind == "images":
        return torch.randint(256, (TRAINING, *SHAPES[kind]), generator=generator, dtype=torch.uint8)
    tokens = torch.randint(1, VOCABULARY, (TRAINING, LENGTH), generator=generator, dtype=torch.uint8)
    lengths = torch.randint(2, LENGTH + 1, (TRAINING, 1), generator=generator)
    return tokens.masked_fill(torch.arange(LENGTH) >= lengths, 0)


def problem_of(kind: str, k: int, starts: int, seed: int = 0) -> Problem:
    """Return k problems with so many starts each, which are training samples."""
    rows = torch.arange(k * starts).view(k, starts)
    samples = TrainingSamples(_stored(kind), SHAPES[kind], LIKELIHOODS[kind], rows)
    points = samples.points(rows, torch.Generator().manual_seed(0), torch.empty(0))
    return Problem(points, seed=seed, samples=samples)


def sample_losses(kind: str, x: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
    """Return how far samples are from the hidden one of each problem: weighted elements that differ."""
    hidden = _hidden(kind, len(x))
    weights = torch.linspace(0.5, 3, x.shape[-1])
    return (weights * (x - hidden[:, None]).abs()).sum(-1) / (2 if kind == "sequences" else SIDE)


@cache
def _hidden(kind: str, k: int) -> Float[Tensor, "k d"]:
    generator = torch.Generator().manual_seed(1)
    if kind == "images":
        return torch.randint(2, (k, SIDE * SIDE), generator=generator).float()
    return one_hot(torch.randint(1, VOCABULARY, (k, LENGTH), generator=generator), VOCABULARY).flatten(1).float()


def fault(kind: str, x: Float[Tensor, "k n d"]) -> str:
    """Return why a point is no sample; empty if all are samples. Points of NaN are left out."""
    x = x.flatten(0, 1)[x.flatten(0, 1).isfinite().all(-1)]
    if kind == "images":
        return "" if ((x >= 0) & (x <= 1)).all() else "a pixel outside 0 and 1"
    tokens = x.unflatten(-1, SHAPES[kind])
    if not (((tokens == 0) | (tokens == 1)).all() and (tokens.sum(-1) == 1).all()):
        return "a position that is not one token, a 1 among zeros"
    ended = tokens[..., 0].cummax(-1).values
    return "" if torch.equal(ended, tokens[..., 0]) else "a token after the end"
