"""Penalty of a search in progress: what the scores are lowered by that its searcher gets."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.errors import PluginError
from lso_bench.search import Problem, Searcher, penalty_of
from lso_bench.search.local_volume import points_at_once
from lso_bench.search.penalties import BY_DECODER, penalty
from lso_bench.search.space import Space

POINTS = 128  # most points penalised at once, to bound memory; of `les`, which has d derivatives of each, fewer


class Cost:
    """Penalty of a searcher, times its weight; false if there is none.

    A penalty that is not finite becomes the largest one that its problem has had, at least 0, and is counted as
    `penalty_fallbacks`. A gradient that is not finite becomes 0.
    """

    def __init__(self, searcher: Searcher, space: Space, problem: Problem):
        self._kind = penalty_of(searcher)
        self._weight, self._gradient = searcher.penalty_weight, searcher.needs_gradient
        self._space, self._clock, self._counts = space, problem.clock, problem.counts
        self._points = points_at_once(space.vae.latent) if self._kind == "les" else POINTS
        self._largest: Float[Tensor, " k"] = problem.starts.new_zeros(len(problem.starts))

    def __bool__(self) -> bool:
        return self._kind != "none"

    def __call__(
        self, z: Float[Tensor, "k m d"], x: Float[Tensor, "a n *shape"], problems: Int[Tensor, " a"]
    ) -> Float[Tensor, "a n"]:
        """Return the cost of the first n points of problems, decoded as x; add its gradient to `z.grad` if need be.

        Raises:
            PluginError: a gradient is needed, and the penalty has none.
        """
        n = x.shape[1]
        with self._clock("penalty"):
            points, samples = z.detach()[problems, :n].flatten(0, 1), self._space.discrete_of(x.detach()).flatten(0, 1)
            parts = zip(points.split(self._points), samples.split(self._points), strict=True)
            values, gradients = (torch.cat(part) for part in zip(*(self._values(*part) for part in parts), strict=True))
            if self._gradient:
                z.grad = torch.zeros_like(z) if z.grad is None else z.grad
                z.grad[problems, :n] += self._weight * gradients.view(len(problems), n, -1)
            return self._weight * self._finite(values.view(len(problems), n), problems)

    def _values(
        self, u: Float[Tensor, "b d"], x: Float[Tensor, "b *shape"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b d"]]:
        """Return penalties, and their gradients, which are 0 if none are needed."""
        with torch.set_grad_enabled(self._gradient):
            u = u.clone().requires_grad_(self._gradient)
            values = penalty(self._kind, self._space, u, x).to(u)  # log_prob of a user's model may be in double
        if not self._gradient:
            return values, torch.zeros_like(u)
        if not values.requires_grad:
            raise PluginError(f"Penalty {self._kind!r} has no gradient in this model; choose cmaes, bo or turbo.")
        if self._kind in BY_DECODER:
            self._count("gradients", len(u))
        gradient = torch.autograd.grad(values.sum(), u)[0]
        return values.detach(), gradient.masked_fill(~gradient.isfinite().all(1, keepdim=True), 0)

    def _finite(self, values: Float[Tensor, "a n"], problems: Int[Tensor, " a"]) -> Float[Tensor, "a n"]:
        finite = values.isfinite()
        largest = values.masked_fill(~finite, -torch.inf).amax(1)
        self._largest[problems] = torch.maximum(self._largest[problems], largest)
        self._count("penalty_fallbacks", int((~finite).sum()))
        return torch.where(finite, values, self._largest[problems, None])

    def _count(self, name: str, number: int) -> None:
        self._counts[name] = self._counts.get(name, 0) + number
