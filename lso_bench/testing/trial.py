"""A searcher under test, and the valleys that it is tried on."""

from collections.abc import Generator
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import LsoBenchError
from lso_bench.region import Region, build
from lso_bench.search import Problem, Searcher, checked
from lso_bench.testing.promise import BrokenPromiseError

STEPS = 30
PROBLEMS, LATENT = 3, 4
BOX = "box:3"
LEAVES = 3  # the step whose score is the first that is not finite, where there are as many and one more after it

Way = list[tuple[Float[Tensor, "k _ d"], Float[Tensor, "k _"]]]  # a step each: what it asked for and was told


class Trial:
    """A searcher on three valleys of four dimensions, whose lowest points lie within half of the origin."""

    def __init__(self, bare: Searcher, steps: int = STEPS):
        self.bare, self.steps = bare, steps
        self.leaves = min(LEAVES, steps - 2)

    @cached_property
    def way(self) -> Way:
        """Of the searcher as it is, in a box."""
        return self.search()

    def search(
        self,
        searcher: Searcher | None = None,
        steps: int | None = None,
        region: str = BOX,
        starts: int = 1,
        spoilt: bool = False,
        flat: bool = False,
    ) -> Way:
        """What it asks for and is told until it has no more to ask. Where `spoilt`, the second problem leaves after
        step `leaves`; where `flat`, all scores are the same.

        Raises:
            BrokenPromiseError: it raises, or asks for what is not a code of every problem.
        """
        problem, seen, y = Problem(begin(region, starts), place(region)), [], None
        generator = (searcher or self.bare).search(problem)
        torch.manual_seed(problem.seed)
        for step in range(steps or self.steps):
            if (z := _asked(generator, y, problem.starts, step)) is None:
                break
            y = self._scores(z, flat)
            if spoilt and step >= self.leaves:
                y[1] = torch.nan
            seen.append((z.detach().clone(), y))
        generator.close()
        return seen

    def _scores(self, z: Float[Tensor, "k n d"], flat: bool) -> Float[Tensor, "k n"]:
        """Of codes; the gradient of minus them goes into `z.grad`."""
        loss = valleys(z) * (0 if flat else 1)
        if self.bare.needs_gradient and not z.isnan().all():
            if not (z.is_leaf and z.requires_grad):
                raise BrokenPromiseError(
                    "wanted points that are leaves and require a gradient, got others; yield a tensor that "
                    "`requires_grad_()`, or say needs_gradient = False"
                )
            z.grad = None
            loss.nansum().backward()
        return -loss.detach()


def begin(region: str, starts: int) -> Float[Tensor, "k m d"]:
    """Codes inside the region from where all problems begin."""
    corner = torch.linspace(0.9, 0.5, starts)[:, None].expand(PROBLEMS, starts, LATENT)
    return place(region).clip(corner.clone())


def place(region: str) -> Region:
    """That region, of an aggregate posterior around the origin."""
    return build(region, LATENT, lambda: 0.1 * torch.randn(200, LATENT, generator=torch.Generator().manual_seed(0)))


def valleys(z: Float[Tensor, "k n d"]) -> Float[Tensor, "k n"]:
    """The losses: bent valleys of the fourth degree, each problem's with a lowest point of its own."""
    peaks = torch.rand(PROBLEMS, 1, LATENT, generator=torch.Generator().manual_seed(7)) - 0.5
    off = z - peaks
    steep = torch.linspace(0.5, 3, LATENT) * off.square()
    return steep.sum(-1) + (off[..., :1] * off[..., 1:2]).sum(-1) + (off**4).sum(-1)


def _asked(
    generator: Generator[Tensor, Tensor, None], y: Tensor | None, starts: Float[Tensor, "k m d"], step: int
) -> Tensor | None:
    """The codes that are wanted next; None: no more."""
    try:
        z: object = next(generator) if y is None else generator.send(y)
    except StopIteration:
        return None
    except LsoBenchError:
        raise
    except Exception as error:  # whatever a searcher raises
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise BrokenPromiseError(f"wanted points whenever asked, got {what} in step {step}") from error
    try:
        return checked(z, starts)
    except ValueError as error:
        raise BrokenPromiseError(
            f"{error} in step {step}; where a problem has no more to ask yield NaN for it"
        ) from error
