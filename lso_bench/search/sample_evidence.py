"""Samples that a search has seen: their features, kernel matrices and scores, of k problems."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.search.clock import Clock
from lso_bench.search.gaussian_process import standardised
from lso_bench.search.sample_kernels import SampleKernel
from lso_bench.search.space import Space

Keys = Int[np.ndarray, "a n"]  # numbers of samples; those with the same features have the same


@dataclass(frozen=True)
class Decoder:
    """A space whose samples are seen through the features of a kernel."""

    space: Space
    kernel: SampleKernel
    clock: Clock

    @torch.no_grad()
    def features(self, z: Float[Tensor, "a n d"], problems: Int[Tensor, " a"]) -> Float[Tensor, "a n p"]:
        """Decode points of some problems; return the features of the samples, on the CPU."""
        device = self.space.device
        with self.clock("decode"):
            x = self.space.decode(z.to(device, self.space.dtype), problems.to(device))
        return self.kernel.features(x.flatten(0, 1)).unflatten(0, z.shape[:2])


def keys_of(features: Float[Tensor, "a n p"]) -> Keys:
    """Return a number for each sample."""
    rows = features.numpy()
    return np.array([[hash(row.tobytes()) for row in problem] for problem in rows], np.int64)


class Evidence:
    """Samples of k problems with their scores, all in double precision on the CPU but the features.

    A problem is over from its first score on that is not finite: its further samples are zeros and cost nothing.
    """

    def __init__(self, decoder: Decoder, z: Float[Tensor, "k n d"], y: Float[Tensor, "k n"]):
        self.decoder, self.z, self.y = decoder, z[:, :0].cpu().double(), y[:, :0].cpu().double()
        self.keys = np.zeros((len(z), 0), np.int64)
        self.features, self.gram = torch.empty(len(z), 0, 0), torch.empty(len(z), 0, 0, dtype=torch.float64)
        self.add(z, y)

    @property
    def active(self) -> Int[Tensor, " a"]:
        """Problems that are not over."""
        return self.y.isfinite().all(1).nonzero()[:, 0]

    @property
    def standardised(self) -> Float[Tensor, "k n"]:
        return standardised(self.y)

    @property
    def informative(self) -> Int[Tensor, " b"]:
        """Problems whose scores can be standardised and are not all the same."""
        scores = self.standardised
        return (scores.isfinite().all(1) & (scores != 0).any(1)).nonzero()[:, 0]

    def add(self, z: Float[Tensor, "k n d"], y: Float[Tensor, "k n"]) -> None:
        """Decode points that were scored, and keep what is known of them."""
        self.z, self.y = torch.cat([self.z, z.cpu().double()], 1), torch.cat([self.y, y.cpu().double()], 1)
        if not len(active := self.active):
            return
        new = self.decoder.features(z.cpu()[active], active)
        features = torch.zeros(len(z), self.y.shape[1], new.shape[2])
        features[:, : self.features.shape[1], : self.features.shape[2]] = self.features
        features[active, -new.shape[1] :] = new
        rows = torch.zeros(len(z), new.shape[1], self.y.shape[1], dtype=torch.float64)
        rows[active] = self.decoder.kernel.to(features[active])(new)
        keys = np.zeros((len(z), new.shape[1]), np.int64)
        keys[active] = keys_of(new)
        old = rows[..., : -new.shape[1]].mT  # (k, n, m)
        self.gram = torch.cat([torch.cat([self.gram, old], 2), rows], 1)
        self.features, self.keys = features, np.concatenate([self.keys, keys], 1)

    def best(self, problem: int, count: int) -> list[int]:
        """Return the best samples of a problem with different features, best first, in turn up to `count`."""
        order = self.y[problem].argsort(descending=True, stable=True).tolist()
        distinct = list({self.keys[problem, i]: i for i in reversed(order)}.values())
        distinct = sorted(distinct, key=order.index)[:count]
        return [distinct[i % len(distinct)] for i in range(count)]
