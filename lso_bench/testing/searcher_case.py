"""Test case of a searcher: a searcher and the functions that it is tested on."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import PluginError, UsageError
from lso_bench.plugins.containment import reason
from lso_bench.plugins.random_numbers import Stream
from lso_bench.runner.penalised import Cost
from lso_bench.search import Problem, Searcher, check_finite, check_leaf, check_points
from lso_bench.search.region import Region, build
from lso_bench.testing.linear_model import example_space
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.sample_problems import problem_of, sample_losses
from lso_bench.testing.side_effects import Watch

STEPS = 30
PROBLEMS, LATENT = 3, 4
BOX = "box:3"
LEAVING_STEP = 3  # step of the first score that is not finite, if at least one step follows

NO_CONTEXT = nullcontext()

Trajectory = list[tuple[Float[Tensor, "k _ d"], Float[Tensor, "k _"]]]  # points and their scores, one entry a step


class SearcherCase:
    """A searcher on three test functions of four dimensions, whose minima lie within 0.5 of the origin.

    The model of these latents has a linear decoder, of which the functions know nothing. A searcher of samples is
    tested on three hidden samples.
    """

    def __init__(self, bare: Searcher, watch: Watch, steps: int = STEPS):
        self.plugin, self.watch, self.steps = bare, watch, steps
        self.kind = (bare.takes or "sequences") if bare.space == "samples" else ""  # of samples; empty: latents
        self.is_guided = False  # whether points were seen to depend on scores as they should
        self.leaving_step = min(LEAVING_STEP, steps - 2)

    @cached_property
    def trajectory(self) -> Trajectory:
        """Trajectory of the searcher in a box."""
        return self.search()

    @cached_property
    def flat_trajectory(self) -> Trajectory:
        """Trajectory of the searcher if all scores are 0."""
        return self.search(all_factor=0)

    def negated_trajectory(self, seed: int = 0) -> Trajectory:
        """Return the trajectory of the searcher if all scores are negated."""
        return self.search(all_factor=-1, seed=seed)

    def search(
        self,
        searcher: Searcher | None = None,
        steps: int | None = None,
        region: str = BOX,
        starts: int = 1,
        changed_problem: int | None = None,
        factor: float = torch.nan,
        all_factor: int = 1,
        seed: int = 0,
        context: AbstractContextManager = NO_CONTEXT,
    ) -> Trajectory:
        """Run a search; return its trajectory, which ends when the searcher yields no more points.

        Args:
            changed_problem: the problem whose scores are multiplied by `factor` from `leaving_step` on; NaN makes it
                leave.
            all_factor: factor of all scores.
            context: context around the searcher's code alone.

        Raises:
            UnmetRequirementError: the searcher raises, or yields points of a wrong shape.
        """
        problem, trajectory, y, plugin = self.problem(region, starts, seed), [], None, searcher or self.plugin
        search = _SearchUnderTest(plugin, problem, self.watch, context)
        cost = problem.space and Cost(plugin, problem.space, problem)
        for step in range(steps or self.steps):
            if (z := search.ask(y, step)) is None:
                break
            y = self._scores(z, all_factor)
            if cost and problem.space and not z.isnan().any():
                with torch.no_grad():
                    x = problem.space.decode(z)
                y = y - cost(z, x, torch.arange(len(z)))
            if changed_problem is not None and step >= self.leaving_step:
                y[changed_problem] *= factor
            trajectory.append((z.detach().clone(), y.clone()))
        search.close()
        return trajectory

    def problem(self, region: str = BOX, starts: int = 1, seed: int = 0) -> Problem:
        """Return the input of the searcher."""
        if self.kind:
            return problem_of(self.kind, PROBLEMS, starts, seed)
        return Problem(starting_latents(region, starts), region_of(region), seed, space=example_space(LATENT))

    def losses(self, z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
        """Return the losses of points, all at least about 0."""
        return sample_losses(self.kind, z) if self.kind else test_functions(z)

    def _scores(self, z: Float[Tensor, "k n d"], factor: int) -> Float[Tensor, "k n"]:
        """Score points; the gradient of minus the scores goes into `z.grad`."""
        loss = self.losses(z) * factor
        if self.plugin.needs_gradient and not z.isnan().all():
            z.grad = None
            loss.nansum().backward()
        return -loss.detach()


def starting_latents(region: str, starts: int) -> Float[Tensor, "k m d"]:
    """Return latents inside the region, from which all problems start."""
    starts_on_line = torch.linspace(0.9, 0.5, starts)[:, None].expand(PROBLEMS, starts, LATENT)
    return region_of(region).clip(starts_on_line.clone())


@cache
def region_of(region: str) -> Region:
    """Return the region of this name, for an aggregate posterior around the origin."""
    return build(region, LATENT, lambda: 0.1 * torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0)))


def test_functions(z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
    """Compute the losses: polynomials of degree four, one per problem, each with its own minimum."""
    offset = z - _minima()
    quadratic = torch.linspace(0.5, 3, LATENT) * offset.square()
    return quadratic.sum(-1) + (offset[..., :1] * offset[..., 1:2]).sum(-1) + (offset**4).sum(-1)


@cache
def _minima() -> Float[Tensor, "k 1 d"]:
    return torch.rand(PROBLEMS, 1, LATENT, generator=torch.Generator().manual_seed(7)) - 0.5


class _SearchUnderTest:
    """A running search of the searcher under test, called as in a run."""

    def __init__(self, searcher: Searcher, problem: Problem, watch: Watch, context: AbstractContextManager):
        self._gradient, self._starts, self._watch = searcher.needs_gradient, problem.starts, watch
        self._stream, self._context = Stream(problem.seed, free=True), context
        with watch.during("search", self._stream.drawn):
            self._generator = searcher.search(problem)

    def ask(self, y: Float[Tensor, "k m"] | None, step: int) -> Float[Tensor, "k n d"] | None:
        """Return the next points; None if there are no more.

        Raises:
            UnmetRequirementError: the searcher raises, or yields points of a wrong shape or not finite.
        """
        try:
            with self._watch.during("search", self._stream.drawn), self._context:
                z: object = next(self._generator) if y is None else self._generator.send(y)
        except StopIteration:
            return None
        except (UsageError, PluginError):
            raise
        except Exception as error:  # a searcher may raise anything
            got = " ".join(reason(error).split())
            raise UnmetRequirementError(f"wanted points whenever asked, got {got} in step {step}") from error
        try:
            points = self._points(check_points(z, self._starts))
            check_finite(points if y is None else points[~y.isnan().all(1)])  # what is asked for others is ignored
            return points
        except ValueError as error:
            raise UnmetRequirementError(f"in step {step}: {error}") from error

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
        with self._watch.during("search", self._stream.drawn):
            self._generator.close()
