"""Chains in a latent space under the likelihood that a decoded sample exceeds the best score."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.search.crank_nicolson import accepted, proposed
from lso_bench.search.kernel_matrix_process import Process, log_exceedance
from lso_bench.search.prior_draws import are_inside
from lso_bench.search.region import Region
from lso_bench.search.sample_evidence import Evidence, Keys, keys_of


@dataclass
class Walks:
    """Chains of some problems, and all states that they moved to.

    A step that leaves the region is rejected: the prior is N(0, I) restricted to it.
    """

    seen: Evidence
    process: Process  # of these problems
    problems: Int[Tensor, " a"]
    region: Region
    chains: int  # of each problem
    moves: list[tuple[Tensor, Keys, Tensor]] = field(default_factory=list)  # points, keys, and which moved, a step

    def __post_init__(self):
        rows = torch.tensor([self.seen.best(i, self.chains) for i in self.problems.tolist()])  # (a, c)
        self.z = self.seen.z[self.problems].gather(1, rows[..., None].expand(-1, -1, self.seen.z.shape[2]))
        self._kernel_to_seen = self.seen.decoder.kernel.to(self.seen.features[self.problems])
        self._level = self.seen.standardised[self.problems].amax(1, keepdim=True)
        gram = self.seen.gram[self.problems].gather(1, rows[..., None].expand(-1, -1, self.seen.y.shape[1]))
        self._log_likelihood = self._exceedance(gram, gram.gather(2, rows[..., None]).squeeze(2))

    @property
    def acceptance(self) -> Float[Tensor, " a"]:
        """Share of the steps that were taken."""
        return torch.stack([moved for _, _, moved in self.moves]).double().mean((0, 2))

    def step(self, beta: Float[Tensor, " a"], normal: Float[Tensor, "a c d"], uniform: Float[Tensor, "a c"]) -> None:
        """Make one step of every chain."""
        new = proposed(self.z, beta, normal)
        features = self.seen.decoder.features(new, self.problems)
        diagonal = self.seen.decoder.kernel.diagonal(features)
        values = self._exceedance(self._kernel_to_seen(features), diagonal)
        moved = accepted(self._log_likelihood, values, uniform) & are_inside(self.region, new)
        self.z = torch.where(moved[..., None], new, self.z)
        self._log_likelihood = torch.where(moved, values, self._log_likelihood)
        self.moves.append((self.z, keys_of(features), moved))

    def proposals(self, q: int, order: Int[Tensor, "a c"]) -> list[Float[Tensor, "m d"]]:
        """Return for each problem q states at most: the last ones with samples that differ and were not seen.

        Of the states of one step those of the chains in `order` come first.
        """
        return [self._proposals(a, q, order[a].tolist()) for a in range(len(self.problems))]

    def _proposals(self, a: int, q: int, order: list[int]) -> Float[Tensor, "m d"]:
        known, chosen = set(self.seen.keys[self.problems[a]].tolist()), list[Tensor]()
        for z, keys, moved in reversed(self.moves):
            for c in order:
                if len(chosen) < q and moved[a, c] and (key := int(keys[a, c])) not in known:
                    known.add(key)
                    chosen.append(z[a, c])
        return torch.stack(chosen) if chosen else self.z[a, :0]

    def _exceedance(self, cross: Float[Tensor, "a c n"], diagonal: Float[Tensor, "a c"]) -> Float[Tensor, "a c"]:
        return log_exceedance(*self.process.predict(cross, diagonal), self._level)
