"""Ask/tell optimizers of any library as searchers."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.search import Problem, Searcher


@dataclass(frozen=True)
class SingleProblem:
    """Problem that an ask/tell optimizer is made for, of d dimensions."""

    start: Float[np.ndarray, " d"]
    bounds: Float[np.ndarray, "d 2"]  # lowest and highest value of each dimension
    seed: int  # differs between the problems of a run
    loss: float = math.nan  # of the start

    @property
    def dimension(self) -> int:
        return len(self.start)


@dataclass(frozen=True, init=False)
class AskTell(Searcher):
    """Searcher of an optimizer that **minimises** by ask and tell; one optimizer is made for each problem.

    It takes what these libraries return:

    - `cmaes`: `ask()` gives a point; `tell` takes `population_size` pairs of a point and its loss.
    - `pycma`: `ask()` gives a list of points; `tell(points, losses)`.
    - Nevergrad: `ask()` gives a candidate with `value`; `tell(candidate, loss)`.
    - Optuna: a study; dimension i is a float parameter `zi`.
    - scikit-optimize and any other: `ask()` gives a point as an array or a list, and `tell(point, loss)`.

    It is not told the loss of the start, which `SingleProblem` has. Once its problem is over it is not asked again.

    In a file of its own, make a subclass with a method `optimizer`.
    """

    def __init__(
        self,
        factory: Callable[[SingleProblem], Any] | None = None,
        name: str = "",
        *,
        penalty: str = "none",
        penalty_weight: float = 1.0,
    ):
        """Wrap a function that makes an optimizer for a problem; a subclass with `optimizer` needs none.

        Args:
            name: in tables and figures; default: `AskTell`.
            penalty, penalty_weight: as of every searcher.
        """
        object.__setattr__(self, "factory", factory)  # no fields: those are settings, which a text can hold
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "penalty", penalty)
        object.__setattr__(self, "penalty_weight", penalty_weight)

    def optimizer(self, problem: SingleProblem) -> Any:
        """Return an optimizer for a problem."""
        factory = vars(self)["factory"]
        if factory is None:
            raise ValueError("wanted a function that makes an optimizer, or a subclass with a method `optimizer`")
        return factory(problem)

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        losses = np.nan_to_num(-(yield problem.starts)[:, 0].double().cpu().numpy())  # NaN: the problem is over
        low, high = (bound.double().cpu().numpy() for bound in problem.region.bounds)
        first = problem.starts[:, 0].double().cpu().numpy().clip(low, high)
        seeds = [(1_000_003 * (problem.seed + 1) + i) % 2**32 for i in range(len(first))]
        bounds = np.stack([low, high], 1)
        problems = [SingleProblem(x, bounds, *rest) for x, *rest in zip(first, seeds, losses.tolist(), strict=True)]
        optimizers = [_Turns(self.optimizer(p), bounds) for p in problems]
        while True:
            asked = [o.ask() for o in optimizers]
            if len({len(points) for points in asked}) > 1:
                raise ValueError("wanted the same number of points of each problem's optimizer")
            y = yield problem.region.clip(torch.from_numpy(np.stack(asked)).to(problem.starts))
            for o, scores in zip(optimizers, y.double().cpu().numpy(), strict=True):
                if np.isfinite(scores).all():  # else the problem is over
                    o.tell(-scores)


class _Turns:
    """One optimizer, asked for a turn of points and told their losses."""

    def __init__(self, optimizer: Any, bounds: Float[np.ndarray, "d 2"]):
        self._optimizer, self._bounds = optimizer, bounds
        self._candidates: list[Any] = []
        self._points: Float[np.ndarray, "n d"] | None = None  # those whose losses are awaited
        self._is_batch = False  # whether one `ask` gives all points of a turn

    def ask(self) -> Float[np.ndarray, "n d"]:
        """Return the next points; where the losses of the last ones never came, these: the problem is over."""
        if self._points is None:
            self._points = self._asked()
        return self._points

    def _asked(self) -> Float[np.ndarray, "n d"]:
        first = self._optimizer.ask()
        self._is_batch = isinstance(first, list | tuple | np.ndarray) and np.ndim(first[0]) == 1
        if self._is_batch:
            self._candidates = [*first]
        else:
            size = getattr(self._optimizer, "population_size", 1)
            self._candidates = [first, *(self._optimizer.ask() for _ in range(size - 1))]
        return np.array([self._point(candidate) for candidate in self._candidates])

    def tell(self, losses: Float[np.ndarray, " n"]) -> None:
        """Tell the losses of the last points."""
        values, self._points = losses.tolist(), None
        if self._is_batch:
            self._optimizer.tell(self._candidates, values)
        elif hasattr(self._optimizer, "population_size"):
            self._optimizer.tell([*zip(self._candidates, values, strict=True)])
        else:
            for candidate, value in zip(self._candidates, values, strict=True):
                self._optimizer.tell(candidate, value)

    def _point(self, candidate: Any) -> Float[np.ndarray, " d"]:
        if hasattr(candidate, "suggest_float"):  # a trial of Optuna
            bounds = enumerate(self._bounds.tolist())
            return np.array([candidate.suggest_float(f"z{i}", low, high) for i, (low, high) in bounds])
        return np.asarray(getattr(candidate, "value", candidate), dtype=float)
