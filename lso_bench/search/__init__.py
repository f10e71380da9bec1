"""How to look: one searcher a file.

To add one, save a file here with one subclass of `Searcher`, a frozen dataclass whose fields are its settings
(`--searcher name:field=value`); the file's name is the searcher's name, and the tests check it.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from lso_bench.search.clock import Clock
from lso_bench.search.region import Region


@dataclass(frozen=True)
class Problem:
    """What a searcher is told: k problems of d dimensions, the m codes where each begins, and where it may look."""

    starts: Float[Tensor, "k m d"]
    region: Region = field(default_factory=Region)
    seed: int = 0
    clock: Clock = field(default_factory=Clock)  # `with problem.clock("fit"):` counts its body as that
    counts: dict[str, int] = field(default_factory=dict)  # what the searcher wants noted in the record, by name


def check_points(z: object, starts: Float[Tensor, "k m d"]) -> Float[Tensor, "k n d"]:
    """`z`, if it is points of each problem, as these starts are.

    Raises:
        ValueError: says what was wanted and what came.
    """
    k, _, d = starts.shape
    wanted = f"wanted points of shape ({k}, n, {d}) and {starts.dtype}"
    if not isinstance(z, Tensor):
        raise ValueError(f"{wanted}, got {z!r}")
    if z.ndim != 3 or (z.shape[0], z.shape[2]) != (k, d) or not z.shape[1] or z.dtype != starts.dtype:
        raise ValueError(f"{wanted}, got {tuple(z.shape)} and {z.dtype}")
    return z


def check_leaf(z: Tensor) -> None:
    """Refuse points that no gradient can be given to.

    Raises:
        ValueError: says what was wanted and what to do.
    """
    if not (z.is_leaf and z.requires_grad):
        raise ValueError(
            "wanted points that are leaves and require a gradient, got others; yield a tensor that "
            "`requires_grad_()`, or say needs_gradient = False"
        )


Asks = Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], tuple[Float[Tensor, "k m d"], Float[Tensor, "k m"]]]


def begin(problem: Problem, engine: SobolEngine, initial: int) -> Asks:
    """Asks for the starts, then for points of a Sobol sequence up to `initial` in all; gives them and their scores."""
    z = problem.starts
    y = yield z
    if (missing := initial - z.shape[1]) > 0:
        more = problem.region.throughout(engine.draw(missing).to(z)).expand(len(z), -1, -1)
        z, y = torch.cat([z, more], 1), torch.cat([y, (yield more)], 1)
    return z, y


class Searcher(ABC):
    """A search method; a frozen dataclass whose fields are its settings.

    `search` yields n points for each of k problems, inside the region, and is sent their scores, for ever. The first
    points are the starts. A problem that has left (it converged, or a score was not finite) has NaN for scores from
    then on, and what is yielded for it is not looked at. A searcher that has no more to ask for a problem yields NaN
    for it, and returns when it has no more to ask for any. Where `needs_gradient`, the points are leaves that require
    a gradient, and when the scores come, `.grad` holds the gradient of **minus** the score: what a torch optimizer
    descends.
    """

    needs_gradient: ClassVar[bool] = False
    bounded: ClassVar[bool] = True  # whether it wants a bounded region
    descends: ClassVar[bool] = False  # whether its result is where it stands; if not, the best that it has seen

    def design(self, d: int) -> int:
        """Evaluations of a problem before the first that depends on a score."""
        return 1

    @abstractmethod
    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        """The points to score next."""
