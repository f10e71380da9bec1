"""How to look: one searcher a file."""

from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """What a searcher is told: k problems of d dimensions, and where each begins."""

    starts: Float[Tensor, "k d"]
    box: float | None  # half-width of the region in prior standard deviations; None: unbounded
    seed: int


class Searcher(ABC):
    """A search method; a frozen dataclass whose fields are its settings.

    `search` yields n points for each of k problems and is sent their scores, for ever. Scores of problems that have
    converged mean nothing any more. Where `needs_gradient`, the points it yields are leaves that require a gradient,
    and when the scores come, `.grad` holds the gradient of **minus** the score: what a torch optimizer descends.
    """

    needs_gradient: ClassVar[bool] = False

    @abstractmethod
    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        """The points to score next."""
