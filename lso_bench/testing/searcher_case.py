"""A searcher under test, and the valleys that it is tried on."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import LsoBenchError
from lso_bench.search import Problem, Searcher, check_leaf, checked
from lso_bench.search.region import Region, build
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.side_effects import Watch
from lso_bench.vae.containment import reason
from lso_bench.vae.random_numbers import Stream

STEPS = 30
PROBLEMS, LATENT = 3, 4
BOX = "box:3"
LEAVES = 3  # the step whose score is the first that is not finite, where there are as many and one more after it

NOTHING = nullcontext()

Trajectory = list[tuple[Float[Tensor, "k _ d"], Float[Tensor, "k _"]]]  # a step each: what it asked for and was told


class SearcherCase:
    """A searcher on three valleys of four dimensions, whose lowest points lie within half of the origin."""

    def __init__(self, bare: Searcher, watch: Watch, steps: int = STEPS):
        self.plugin, self.watch, self.steps = bare, watch, steps
        self.leaves = min(LEAVES, steps - 2)

    @cached_property
    def trajectory(self) -> Trajectory:
        """Of the searcher as it is, in a box."""
        return self.search()

    @cached_property
    def flat(self) -> Trajectory:
        """The same where all scores are the same."""
        return self.search(times=0)

    def turned(self, seed: int = 0) -> Trajectory:
        """The same where scores are turned round: what was best is worst."""
        return self.search(times=-1, seed=seed)

    def search(
        self,
        searcher: Searcher | None = None,
        steps: int | None = None,
        region: str = BOX,
        starts: int = 1,
        spoilt: int | None = None,
        by: float = torch.nan,
        times: int = 1,
        seed: int = 0,
        notice: AbstractContextManager = NOTHING,
    ) -> Trajectory:
        """Return what it asks for and is told until it has no more to ask.

        Args:
            spoilt: the problem whose scores are multiplied by `by` from step `leaves` on; by NaN it leaves.
            times: multiplies all scores.
            notice: stands around the searcher's code alone.

        Raises:
            BrokenPromiseError: it raises, or asks for what is not a code of every problem.
        """
        problem, seen, y = Problem(begin(region, starts), place(region), seed), [], None
        turns = _Turns(searcher or self.plugin, problem, self.watch, notice)
        for step in range(steps or self.steps):
            if (z := turns.ask(y, step)) is None:
                break
            y = self._scores(z, times)
            if spoilt is not None and step >= self.leaves:
                y[spoilt] *= by
            seen.append((z.detach().clone(), y.clone()))
        turns.close()
        return seen

    def _scores(self, z: Float[Tensor, "k n d"], times: int) -> Float[Tensor, "k n"]:
        """Of codes; the gradient of minus them goes into `z.grad`."""
        loss = test_functions(z) * times
        if self.plugin.needs_gradient and not z.isnan().all():
            z.grad = None
            loss.nansum().backward()
        return -loss.detach()


def begin(region: str, starts: int) -> Float[Tensor, "k m d"]:
    """Codes inside the region from where all problems begin."""
    corner = torch.linspace(0.9, 0.5, starts)[:, None].expand(PROBLEMS, starts, LATENT)
    return place(region).clip(corner.clone())


@cache
def place(region: str) -> Region:
    """That region, of an aggregate posterior around the origin."""
    return build(region, LATENT, lambda: 0.1 * torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0)))


def test_functions(z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
    """The losses: bent valleys of the fourth degree, each problem's with a lowest point of its own."""
    off = z - _peaks()
    steep = torch.linspace(0.5, 3, LATENT) * off.square()
    return steep.sum(-1) + (off[..., :1] * off[..., 1:2]).sum(-1) + (off**4).sum(-1)


@cache
def _peaks() -> Float[Tensor, "k 1 d"]:
    return torch.rand(PROBLEMS, 1, LATENT, generator=torch.Generator().manual_seed(7)) - 0.5


class _Turns:
    """A search under test, whose searcher is called as in a run."""

    def __init__(self, searcher: Searcher, problem: Problem, watch: Watch, notice: AbstractContextManager):
        self._gradient, self._starts, self._watch = searcher.needs_gradient, problem.starts, watch
        self._draws, self._notice = Stream(problem.seed, free=True), notice
        with watch.during("search", self._draws.drawn):
            self._generator = searcher.search(problem)

    def ask(self, y: Float[Tensor, "k m"] | None, step: int) -> Float[Tensor, "k n d"] | None:
        """The codes that are wanted next; None: no more.

        Raises:
            BrokenPromiseError: it raises, or asks for what is not a code of every problem.
        """
        try:
            with self._watch.during("search", self._draws.drawn), self._notice:
                z: object = next(self._generator) if y is None else self._generator.send(y)
        except StopIteration:
            return None
        except LsoBenchError:
            raise
        except Exception as error:  # whatever a searcher raises
            got = " ".join(reason(error).split())
            raise UnmetRequirementError(f"wanted points whenever asked, got {got} in step {step}") from error
        try:
            return self._points(checked(z, self._starts))
        except ValueError as error:
            raise UnmetRequirementError(
                f"{error} in step {step}; where a problem has no more to ask yield NaN for it"
            ) from error

    def _points(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n d"]:
        if self._gradient and not z.isnan().all():
            check_leaf(z)
        if z.requires_grad and not self._gradient:
            raise UnmetRequirementError(
                "wanted points without a graph, which would grow from step to step, got ones that require a gradient; "
                "yield z.detach(), or say needs_gradient = True"
            )
        return z

    def close(self) -> None:
        with self._watch.during("search", self._draws.drawn):
            self._generator.close()
