"""Gradient ascent of the score by a quasi-Newton method."""

from collections.abc import Generator
from dataclasses import dataclass
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lso_bench.plugins.settings import at_least
from lso_bench.search import Problem, Searcher
from lso_bench.search.score_unit import units

SMALLEST = 2.0**-3  # largest component of a problem's first gradient from which on SciPy's limits are left as they are


@dataclass(frozen=True)
class LBFGS(Searcher):
    """SciPy's L-BFGS-B (Zhu et al. 1997), one a problem, from the best of its starts; it ends where that stops.

    SciPy's limits are absolute: `gtol`, and `ftol` where the loss is below 1. Where no component of a problem's first
    gradient reaches 2^-3, its losses and gradients are brought to that size first (`search.score_unit`), so that a
    score in a small unit does not stop at its start. Source of the limits: SciPy's documentation of L-BFGS-B.

    What it asks for are trials of line searches, so its result is the best that it has seen.
    """

    memory: int = 10  # corrections kept
    ftol: float = 2.2e-9  # it stops where a step lowers the loss by no more than this share of it (SciPy's)
    gtol: float = 1e-5  # or where no component of the gradient is larger (SciPy's), per prior standard deviation

    needs_gradient = True
    bounded = False

    def __post_init__(self):
        at_least(self, 1, "memory", most=1000)
        at_least(self, 0, "ftol", "gtol")

    def search(self, problem: Problem) -> Generator[Float[Tensor, "k n d"], Float[Tensor, "k n"], None]:
        z = problem.starts.clone().requires_grad_()
        y = yield z
        assert z.grad is not None
        k, _, d = z.shape
        at = y.nan_to_num(-torch.inf).argmax(1)[:, None, None].expand(-1, 1, d)
        first = z.detach().gather(1, at)[:, 0].double().cpu().numpy()
        slope = z.grad.gather(1, at)[:, 0]
        unit = units(slope.abs().amax(1), SMALLEST)
        known = _answer(y.nan_to_num(-torch.inf).amax(1), slope, unit)
        asked: Queue[Any] = Queue()
        told: Queue[Any] = Queue()
        work = Thread(target=self._minimise, args=(first, known, problem, asked, told), daemon=True)
        work.start()
        try:
            while isinstance(question := asked.get(), tuple):
                x, of = question
                z = torch.full((k, 1, d), torch.nan).to(problem.starts)
                free = torch.from_numpy(x).to(z).requires_grad_()
                inside = problem.region.clip(free)  # the routine knows a box; in a ball it sees the loss of the clipped
                z[of, 0] = inside.detach()
                y = yield z.requires_grad_()
                assert z.grad is not None
                (slope,) = torch.autograd.grad(inside, free, z.grad[of, 0])
                told.put(_answer(y[of, 0], slope, unit[of]))
        finally:
            told.put(None)
            work.join()
        if question is not None:
            raise question

    def _minimise(self, first: np.ndarray, known: tuple, problem: Problem, asked: Queue, told: Queue) -> None:
        """SciPy's routine asks by calling a function, a searcher by yielding: a thread stands between."""

        def loss(x: np.ndarray, batch_indices: list[int]) -> tuple[np.ndarray, np.ndarray]:
            if np.array_equal(x, first[batch_indices]):
                return known[0][batch_indices], known[1][batch_indices]
            asked.put((x, batch_indices))
            if (answer := told.get()) is None:
                raise _SearchEnded
            return answer

        low_high = None
        if problem.region.low is not None:
            low_high = list(zip(*(b.tolist() for b in problem.region.bounds), strict=True))
        stop = {"factr": None, "ftol": self.ftol, "pgtol": self.gtol}
        try:
            from botorch.optim.batched_lbfgs_b import fmin_l_bfgs_b_batched

            fmin_l_bfgs_b_batched(loss, first, low_high, maxcor=self.memory, pass_batch_indices=True, **stop)
        except _SearchEnded:
            return
        except Exception as error:  # for the thread that waits
            asked.put(error)
        else:
            asked.put(None)


class _SearchEnded(Exception):  # noqa: N818, no error
    """Nobody will answer any more."""


def _answer(
    y: Float[Tensor, " b"], gradient: Float[Tensor, "b d"], unit: Float[Tensor, " b"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return losses and gradients in each problem's unit; of one that has left flat ones, where its search stops."""
    scale = unit.double()
    loss, slope = (-y.double() / scale).cpu().numpy(), (gradient.double() / scale[:, None]).cpu().numpy()
    left = ~np.isfinite(loss)
    return np.where(left, 0.0, loss), np.where(left[:, None], 0.0, slope)
