"""Test case of a task: a task and the samples that it is tested on."""

import math
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.plugins.containment import reason
from lso_bench.plugins.random_numbers import Stream
from lso_bench.runner import scores
from lso_bench.task import Task
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.random_draws import Draws
from lso_bench.testing.side_effects import Watch
from lso_bench.vae.data import load
from lso_bench.vae.data_path import data_of

SEED = 20_261  # seed of the task's random numbers, which a task is unlikely to set itself
SUMMED = 8  # machine epsilons by which sums in another order may differ
SHIFT = 5  # shift of the samples between consecutive problems


class TaskCase:
    """A task for four problems, one of its instances twice, each with the same samples in another order."""

    def __init__(self, task: Task, samples: Float[Tensor, "t *shape"] | None, data_dir: Path | None, watch: Watch):
        self.plugin, self.watch = task, watch
        self.calls = 0  # number of calls of `score` so far
        self._stream = Stream(SEED)
        self._samples, self._data_dir = samples, data_dir

    @cached_property
    def test(self) -> Float[Tensor, "t *shape"]:
        """Samples that the task is bound to: those passed in, else the test set of its data."""
        return load(data_of(self.plugin), self._data_dir).test if self._samples is None else self._samples

    @cached_property
    def _images(self) -> dict[str, Float[Tensor, "_ *shape"]]:
        return images(self.test)

    @cached_property
    def bound_samples(self) -> Float[Tensor, "t *shape"]:
        """Copy of the test set, passed to `bind`."""
        return self.test.clone()

    @cached_property
    def task(self) -> Task:
        """The task, bound to the test set."""
        return self.bound(self.plugin, self.bound_samples)

    def bound(self, task: Task, test: Float[Tensor, "t *shape"]) -> Task:
        """Bind a task to these samples."""
        with self.watch.during("bind"):
            return _require_task(task.bind(test), "bind")

    def at(self, instances: Int[Tensor, " k"], task: Task | None = None) -> Task:
        """Restrict a task to these instances."""
        task = task or self.task
        with self.watch.during("at"):
            return _require_task(task.at(instances), "at")

    def targets(self, task: Task) -> Float[Tensor, "k *shape"] | None:
        """Return the targets of a task, as a run takes them.

        Raises:
            UnmetRequirementError: a run would refuse them.
        """
        images = self.raw_targets(task)
        if images is None and not task.has_targets:
            return None
        try:
            return scores.targets(images)
        except ValueError as error:
            raise UnmetRequirementError(str(error)) from error

    def raw_targets(self, task: Task) -> object:
        """Return the unchecked result of `targets`."""
        with self.watch.during("targets"):
            return task.targets()

    def beside(self, task: Task, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
        """Return the auxiliary values of `x`, as a run takes them.

        Raises:
            UnmetRequirementError: a run would refuse them.
        """
        with self.watch.during("beside"):
            values: object = task.beside(x)
        try:
            return scores.reported(values, x)
        except ValueError as error:
            raise UnmetRequirementError(str(error)) from error

    @cached_property
    def instances(self) -> Int[Tensor, " k"]:
        """Instance of each problem."""
        last = self.task.instances - 1
        return torch.tensor([0, last, last // 2, 0])

    @cached_property
    def task_for_problems(self) -> Task:
        """The task, restricted to the instances of these problems."""
        return self.at(self.instances)

    @cached_property
    def x(self) -> Float[Tensor, "k n *shape"]:
        """Samples of every problem."""
        pool = torch.cat(list(self._images.values()))
        return torch.stack([pool.roll(-SHIFT * row, 0) for row in range(len(self.instances))])

    @cached_property
    def y(self) -> Float[Tensor, "k n"]:
        """Scores of `x`."""
        return self.score(self.task_for_problems, self.x)

    def draws_noise(self) -> bool:
        """Return whether the scores of one batch differ because of random numbers that `score` draws."""
        first, second = (self.score(self.task_for_problems, self.x, stream=Stream(SEED)) for _ in range(2))
        if torch.equal(first.nan_to_num(), second.nan_to_num()):  # by the same random numbers the same scores
            return True
        with Draws() as draws:
            self.score(self.task_for_problems, self.x)
        return draws.drawn

    def score(
        self, task: Task, x: Float[Tensor, "k n *shape"], gradient: bool = False, stream: Stream | None = None
    ) -> Float[Tensor, "k n"]:
        """Return the scores of a copy of `x`; `stream` gives the global random numbers, by default one that goes on.

        Raises:
            UnmetRequirementError: the task raises, or does not return one floating-point score per sample.
        """
        self.calls += 1
        try:
            with torch.set_grad_enabled(gradient), self.watch.during("score", (stream or self._stream).drawn):
                y: object = task.score(x if gradient else x.clone())
        except Exception as error:  # a task may raise anything
            raise UnmetRequirementError(
                f"wanted scores whenever asked, got {reason(error)} from `score` on call {self.calls}"
            ) from error
        try:
            return scores.scores(y, x, None if gradient else task.invalid_score)
        except (TypeError, ValueError) as error:
            raise UnmetRequirementError(
                f"{error}; reduce over the dimensions of a sample and no others, as in x.flatten(2).mean(-1)"
            ) from error

    def sample_per_instance(self) -> Float[Tensor, "i 1 *shape"]:
        """Return one sample per instance; neighbouring instances get different samples."""
        pool = self.x[0]
        return pool[torch.arange(self.task.instances) % len(pool)].unsqueeze(1)

    def kind(self, mask: Bool[Tensor, "k n"]) -> str:
        """Describe the first sample for which the mask is true, as in "a white image"."""
        row, column = mask.nonzero()[0].tolist()
        kinds = [kind for kind, group in self._images.items() for _ in group]
        return kinds[(column + SHIFT * row) % len(kinds)]


def near(y: Float[Tensor, "k n"], second: Float[Tensor, "k n"], rounding: float = 0.0) -> Bool[Tensor, "k n"]:
    """Compare scores up to the rounding of batched sums; `rounding` is the machine epsilon of what gave them.

    Scores near 0 are compared relative to the largest one, because their unit is unknown.
    """
    coarse = SUMMED * rounding
    size = torch.cat([y, second]).double().nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(max=1.0).item()
    return torch.isclose(
        y.double(), second.double(), rtol=max(1e-4, coarse), atol=max(1e-5, coarse) * size, equal_nan=True
    )


def worst_mismatch(y: Float[Tensor, "k n"], second: Float[Tensor, "k n"]) -> str:
    """Describe the pair of scores with the largest difference."""
    gap = (y.double() - second.double()).abs().nan_to_num(math.inf)
    gap[(y == second) | (y.isnan() & second.isnan())] = 0
    index = gap.argmax()
    return f"{y.flatten()[index]:g} and {second.flatten()[index]:g}"


def _require_task(result: object, method: str) -> Task:
    if not isinstance(result, Task):
        raise UnmetRequirementError(
            f"wanted a task from `{method}`, got {result!r}; return self, or replace(self, ...)"
        )
    return result


def images(test: Float[Tensor, "t *shape"]) -> dict[str, Float[Tensor, "_ *shape"]]:
    """Return test samples in [0, 1] of this shape, by description; eight of them are evenly spread over `test`."""
    generator = torch.Generator().manual_seed(0)
    shape = test.shape[1:]
    noise = torch.rand(8, *shape, generator=generator)
    shares = torch.linspace(0.02, 0.98, 4).view(4, *[1] * len(shape))  # fractions of white pixels
    return {
        "a black image": torch.zeros(1, *shape),
        "a white image": torch.ones(1, *shape),
        "grey noise": noise[:4],
        "black and white noise": (noise[4:] < shares).float(),
        "a sample of the data set": test[torch.linspace(0, len(test) - 1, 8).long()].float().cpu(),
        "an image decoded by a random network": _decoded(shape, 8, generator),
    }


def _decoded(shape: torch.Size, count: int, generator: torch.Generator) -> Float[Tensor, "c *shape"]:
    """Return smooth samples from a random network of the coordinates and a code, with contrast from faint to binary."""
    axes = [torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in shape]
    coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # (*shape, axes)
    decoded = []
    for contrast in torch.logspace(0, 2, count).tolist():
        first, second = torch.randn(len(shape), 32, generator=generator), torch.randn(32, generator=generator)
        hidden = torch.tanh(3 * coordinates @ first + torch.randn(32, generator=generator))
        decoded.append(torch.sigmoid(contrast * hidden @ second / 32**0.5))
    return torch.stack(decoded)
