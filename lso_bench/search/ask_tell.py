"""Ask/tell optimizers of any library as searchers."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lso_bench.search import Problem, Searcher

ROUNDING = 1e-6  # relative distance by which a point may lie outside the region


@dataclass(frozen=True)
class SingleProblem:
    """Problem that an ask/tell optimizer is made for, of d dimensions."""

    start: Float[np.ndarray, " d"]
    bounds: Float[np.ndarray, "d 2"]  # lowest and highest value of each dimension
    seed: int  # differs between the problems of a run
    loss: float = math.nan  # of the start
    budget: int | None = None  # evaluations, the start among them; None: no limit

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

    It is not told the loss of the start, which `SingleProblem` has, nor the losses of its last points, with which the
    search ends: the best loss is in the results. Once its problem is over it is not asked again. If
    `ask` raises StopIteration, the optimizer has no further points, and its problem ends as `finished`. Points that are
    not finite end the run as failed. For a point outside the region the nearest one inside is scored, and the optimizer
    is told that loss for the point that it asked for; `counts.outside_points` of the record says how many there were.

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
        problems = [
            SingleProblem(x, bounds, seed, loss, problem.budget)
            for x, seed, loss in zip(first, seeds, losses.tolist(), strict=True)
        ]
        optimizers = [_Turns(self.optimizer(p), bounds) for p in problems]
        while (points := _stacked([o.ask() for o in optimizers])) is not None:
            z = torch.from_numpy(points).to(problem.starts)
            inside = problem.region.clip(z)
            _count_outside(problem, z, inside, torch.tensor([o.is_new for o in optimizers]))
            y = yield inside
            for o, scores in zip(optimizers, y.double().cpu().numpy(), strict=True):
                if np.isfinite(scores).all():  # else the problem is over
                    o.tell(-scores)


def _count_outside(
    problem: Problem, z: Float[Tensor, "k n d"], inside: Float[Tensor, "k n d"], is_new: Bool[Tensor, " k"]
) -> None:
    """Count the points outside the region that problems asked for in this turn."""
    outside = ((inside - z).abs() > ROUNDING * (1 + z.abs())).any(-1).cpu()[is_new]
    if count := int(outside.sum()):
        problem.counts["outside_points"] = problem.counts.get("outside_points", 0) + count


def _stacked(asked: list[Float[np.ndarray, "n d"] | None]) -> Float[np.ndarray, "k n d"] | None:
    """Return the points of all problems, NaN for those without further ones; None if no problem has any.

    Raises:
        ValueError: the numbers of points differ.
    """
    points = [p for p in asked if p is not None]
    sizes = sorted({len(p) for p in points})
    if len(sizes) > 1:
        raise ValueError(
            f"wanted as many points from the optimizer of each problem, got {sizes[0]} and {sizes[-1]}; give all "
            "optimizers one size of population"
        )
    if not points:
        return None
    return np.stack([np.full_like(points[0], np.nan) if p is None else p for p in asked])


class _Turns:
    """One optimizer, asked for a turn of points and told their losses."""

    def __init__(self, optimizer: Any, bounds: Float[np.ndarray, "d 2"]):
        if not all(callable(getattr(optimizer, name, None)) for name in ("ask", "tell")):
            raise ValueError(
                f"wanted an optimizer with `ask` and `tell`, got {type(optimizer).__name__}; return one for the problem"
            )
        self._optimizer, self._bounds = optimizer, bounds
        self._candidates: list[Any] = []
        self._points: Float[np.ndarray, "n d"] | None = None  # those whose losses are awaited
        self._is_batch = False  # whether one `ask` gives all points of a turn
        self._is_done = False  # whether it has no further points
        self.is_new = False  # whether the points were asked for in this turn

    def ask(self) -> Float[np.ndarray, "n d"] | None:
        """Return the next points, None if there are none; where the losses of the last ones never came, these again."""
        self.is_new = self._points is None and not self._is_done
        if self.is_new:
            try:
                self._points = self._asked()
            except StopIteration:
                self._is_done, self.is_new = True, False
        return self._points

    def _asked(self) -> Float[np.ndarray, "n d"]:
        first = self._optimizer.ask()
        self._is_batch = _is_batch(first)
        if self._is_batch:
            self._candidates = [*first]
        else:
            size = getattr(self._optimizer, "population_size", 1)
            self._candidates = [first, *(self._optimizer.ask() for _ in range(size - 1))]
        return np.array([self._point(candidate) for candidate in self._candidates])

    def tell(self, losses: Float[np.ndarray, " n"]) -> None:
        """Tell the losses of the last points, if there were any."""
        if self._points is None:
            return
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
        value = getattr(candidate, "value", candidate)
        try:
            point = np.asarray(_numbers(value), dtype=float)
        except (TypeError, ValueError):
            point = np.empty(())
        if point.shape == (len(self._bounds),) and np.isfinite(point).all():
            return point
        raise ValueError(
            f"wanted {len(self._bounds)} finite numbers from `ask`, one for each dimension, got "
            f"{_described(point) if point.ndim else type(value).__name__}; mend the optimizer, or raise StopIteration "
            "where it has no further points"
        )


def _described(point: Float[np.ndarray, "..."]) -> str:
    """Return what came in place of a point."""
    if point.ndim > 1:
        return f"an array of shape {point.shape}"
    bad = point[~np.isfinite(point)]
    return f"{bad[0]:g} among them" if len(bad) else f"{len(point)}"


def _is_batch(asked: Any) -> bool:
    """Return whether one `ask` gave several points."""
    if not isinstance(asked, list | tuple | np.ndarray | Tensor) or getattr(asked, "ndim", 1) == 0 or not len(asked):
        return False
    return np.ndim(_numbers(asked[0])) == 1


def _numbers(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else value
