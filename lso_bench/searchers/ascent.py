"""Gradient ascent on what a surrogate predicts, without regard to how sure it is."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.settings import above, at_least
from lso_bench.search import Problem, Searcher, begin
from lso_bench.search.perceptrons import Perceptrons, Predict
from lso_bench.search.region import Region
from lso_bench.search.sobol_points import sobol_engine
from lso_bench.searchers.bo import MARGIN, raw_points

Trained = tuple[Predict | None, Int[Tensor, " b"]]  # a surrogate, and the problems that it is of
SAME = 1e-6  # of a side of the region; points that are no further apart in any dimension are one


@dataclass(frozen=True)
class Ascent(Searcher):
    """Adam on what a surrogate predicts at z, as in LIMO (Eckmann et al. 2022, arXiv 2206.09010), all in one batch.

    LIMO takes 10 steps of Adam at rate 0.1 from draws of the prior, and keeps the best predictions (its code,
    repository Rose-STL-Lab/LIMO). Its perceptron sees decoded probabilities and is trained beforehand. Here it sees z
    and is trained on the search's evaluations (inferred). `gp` is the posterior mean of `bo`. Half of the ascents begin
    at even points of the region, half near the best points seen (inferred). An end that was scored before becomes a
    Sobol point, and so do all of a problem whose process cannot be fitted; both count as `fallbacks`.
    """

    surrogate: Literal["mlp", "gp"] = "mlp"  # multi-layer perceptron, or mean of a Gaussian process
    initial: int = 20  # evaluations before the first surrogate, the starts among them
    q: int = 5  # points a step
    ascents: int = 64  # ascents of a step, of which the `q` highest ends are scored
    steps: int = 10  # of Adam in an ascent
    rate: float = 0.1  # of Adam in an ascent, prior standard deviations
    training: int = 100  # steps that train a perceptron further; most steps that fit a process

    earlier: ClassVar[Mapping[str, str]] = {"1e297d3d658fa560": "ball"}

    def __post_init__(self):
        at_least(self, 2, "initial")
        at_least(self, 1, "q", most=1000)
        at_least(self, max(2, self.q), "ascents")
        at_least(self, 1, "steps", "training")
        above(self, 0, "rate")

    def design(self, d: int) -> int:
        return self.initial

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        k, _, d = problem.starts.shape
        region, even = problem.region, self.ascents - self.ascents // 2
        engine, chance = sobol_engine(d, problem.seed), torch.Generator().manual_seed(problem.seed)
        z, y = yield from begin(problem, engine, self.initial)
        train = self._mlp(k, d, chance) if self.surrogate == "mlp" else self._gp()
        while True:
            u, seen = region.to_cube(z), y.cpu().double()
            new = region.even(engine.draw(self.q).double()).expand(k, -1, -1).clone()
            first = raw_points(u, seen, self.ascents, 1, engine, chance).squeeze(2).transpose(0, 1)  # (k, r, d)
            first = torch.cat([region.even(first[:, :even]), region.nearest(first[:, even:], MARGIN)], 1)
            active = seen.isfinite().all(1).nonzero()[:, 0]
            missed = 0
            if len(active):
                with problem.clock("fit"):
                    predict, trained = train(u, seen, active)
                if predict is not None:
                    ends = self._ends(predict, first[trained], region)
                    new[trained], missed = _unseen(ends, u[trained], new[trained])
                missed += len(active) - len(trained)
            problem.counts["fallbacks"] = problem.counts.get("fallbacks", 0) + missed
            asked = region.from_cube(new)
            z, y = torch.cat([z, asked], 1), torch.cat([y, (yield asked)], 1)

    def _mlp(self, k: int, d: int, chance: torch.Generator) -> Callable[..., Trained]:
        perceptrons = Perceptrons(k, d, chance)

        def train(u: Float[Tensor, "k n d"], y: Float[Tensor, "k n"], active: Int[Tensor, " a"]) -> Trained:
            from lso_bench.search.gaussian_process import standardised

            perceptrons.train(u, standardised(y).nan_to_num(), self.training)
            return perceptrons.predictor(active), active

        return train

    def _gp(self) -> Callable[..., Trained]:
        from lso_bench.search import gaussian_process

        def train(u: Float[Tensor, "k n d"], y: Float[Tensor, "k n"], active: Int[Tensor, " a"]) -> Trained:
            fitted = gaussian_process.fit(u[active], y[active], self.training)
            return fitted.model and fitted.model.mean, active[fitted.fitted]

        return train

    def _ends(self, predict: Predict, first: Float[Tensor, "b r d"], region: Region) -> Float[Tensor, "b q d"]:
        """Return the ends of the highest predictions."""
        low, high = (bound.cpu().double() for bound in region.bounds)
        width = high - low
        z = (first * width).requires_grad_()
        optimizer = torch.optim.Adam([z], lr=self.rate, maximize=True)
        for _ in range(self.steps):
            z.grad = torch.autograd.grad(predict(z / width).sum(), z)[0]
            optimizer.step()
            with torch.no_grad():
                z.copy_(_inside(z, width, region, optimizer))
        with torch.no_grad():
            highest = predict(z / width).topk(self.q, 1).indices
            return (z / width).gather(1, highest[..., None].expand(-1, -1, z.shape[2]))


def _inside(
    z: Float[Tensor, "b r d"], width: Float[Tensor, " d"], region: Region, optimizer: torch.optim.Adam
) -> Float[Tensor, "b r d"]:
    """Return the points of the region where a step of Adam ends; z is measured from the lower corner of its box."""
    if region.radius is None:
        return (z / width).clamp(0, 1) * width
    return width / 2 + region.after_adam(z - width / 2, optimizer, optimizer.param_groups[0]["params"][0])


def _unseen(
    points: Float[Tensor, "b q d"], seen: Float[Tensor, "b n d"], spare: Float[Tensor, "b q d"]
) -> tuple[Float[Tensor, "b q d"], int]:
    """Replace points that were seen, or that stand before in the same row, by spare ones; return how many."""
    near_seen = (torch.cdist(points, seen, p=torch.inf) <= SAME).any(2)
    near_each_other = (torch.cdist(points, points, p=torch.inf) <= SAME).tril(-1).any(2)
    repeated = near_seen | near_each_other
    return torch.where(repeated[..., None], spare, points), int(repeated.sum())
