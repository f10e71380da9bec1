"""A task under test, and the samples that it is tried on."""

import math
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lso_bench.runner import scores
from lso_bench.task import Task
from lso_bench.testing.promise import UnmetRequirementError
from lso_bench.testing.side_effects import Watch
from lso_bench.vae.containment import reason
from lso_bench.vae.data import load
from lso_bench.vae.random_numbers import Stream

SEED = 20_261  # of the random numbers that a task draws: one that it would hardly set itself
SHIFT = 5  # places by which the samples of one problem are ahead of those of the one before


class TaskCase:
    """A task for four problems, one of its instances twice, each with the same samples in another order."""

    def __init__(self, bare: Task, samples: Float[Tensor, "t *shape"] | None, data_dir: Path | None, watch: Watch):
        self.plugin, self.watch = bare, watch
        self.calls = 0  # of `score`, so far
        self._draws = Stream(SEED)
        self._samples, self._data_dir = samples, data_dir

    @cached_property
    def test(self) -> Float[Tensor, "t *shape"]:
        """The samples that the task is bound to: the given ones, else the test set of its data."""
        return load(self.plugin.data, self._data_dir).test if self._samples is None else self._samples

    @cached_property
    def _images(self) -> dict[str, Float[Tensor, "_ *shape"]]:
        return images(self.test)

    @cached_property
    def shown(self) -> Float[Tensor, "t *shape"]:
        """A copy of the test set, which `bind` is given."""
        return self.test.clone()

    @cached_property
    def task(self) -> Task:
        """Bound to the test set."""
        return self.bound(self.plugin, self.shown)

    def bound(self, bare: Task, test: Float[Tensor, "t *shape"]) -> Task:
        """A task bound to these samples."""
        with self.watch.during("bind"):
            return _task(bare.bind(test), "bind")

    def at(self, instances: Int[Tensor, " k"], task: Task | None = None) -> Task:
        """The task, or another one, for these instances."""
        task = task or self.task
        with self.watch.during("at"):
            return _task(task.at(instances), "at")

    def targets(self, task: Task) -> Float[Tensor, "k *shape"] | None:
        """Its targets, as a run takes them.

        Raises:
            BrokenPromiseError: they are of another kind than a run takes.
        """
        images = self.answered(task)
        if images is None and not task.has_targets:
            return None
        try:
            return scores.targets(images)
        except ValueError as error:
            raise UnmetRequirementError(str(error)) from error

    def answered(self, task: Task) -> object:
        """What `targets` gives, whatever it is."""
        with self.watch.during("targets"):
            return task.targets()

    def beside(self, task: Task, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
        """What it reports of `x`, as a run takes it.

        Raises:
            BrokenPromiseError: that is of another kind than a run takes.
        """
        with self.watch.during("beside"):
            values: object = task.beside(x)
        try:
            return scores.reported(values, x)
        except ValueError as error:
            raise UnmetRequirementError(str(error)) from error

    @cached_property
    def instances(self) -> Int[Tensor, " k"]:
        """The instance that each problem is about."""
        last = self.task.instances - 1
        return torch.tensor([0, last, last // 2, 0])

    @cached_property
    def task_for_problems(self) -> Task:
        """The task as it is for these problems."""
        return self.at(self.instances)

    @cached_property
    def x(self) -> Float[Tensor, "k n *shape"]:
        pool = torch.cat(list(self._images.values()))
        return torch.stack([pool.roll(-SHIFT * row, 0) for row in range(len(self.instances))])

    @cached_property
    def y(self) -> Float[Tensor, "k n"]:
        """The scores of `x`."""
        return self.score(self.task_for_problems, self.x)

    def score(self, task: Task, x: Float[Tensor, "k n *shape"], gradient: bool = False) -> Float[Tensor, "k n"]:
        """What a task gives for a copy of `x`.

        Raises:
            BrokenPromiseError: it raises, or what it gives is not one floating-point score a sample.
        """
        self.calls += 1
        try:
            with torch.set_grad_enabled(gradient), self.watch.during("score", self._draws.drawn):
                y: object = task.score(x if gradient else x.clone())
        except Exception as error:  # whatever a task raises
            raise UnmetRequirementError(
                f"wanted scores whenever asked, got {reason(error)} from `score` on call {self.calls}"
            ) from error
        try:
            return scores.scores(y, x)
        except (TypeError, ValueError) as error:
            raise UnmetRequirementError(
                f"{error}; reduce over the dimensions of a sample and no others, as in x.flatten(2).mean(-1)"
            ) from error

    def one_each(self) -> Float[Tensor, "i 1 *shape"]:
        """A sample for every instance, not the same for those beside each other."""
        pool = self.x[0]
        return pool[torch.arange(self.task.instances) % len(pool)].unsqueeze(1)

    def kind(self, where: Bool[Tensor, "k n"]) -> str:
        """What the first sample is for which that holds: "a white image"."""
        row, column = where.nonzero()[0].tolist()
        kinds = [kind for kind, some in self._images.items() for _ in some]
        return kinds[(column + SHIFT * row) % len(kinds)]


def near(y: Float[Tensor, "k n"], other: Float[Tensor, "k n"]) -> Bool[Tensor, "k n"]:
    """Equal but for the order in which a batch is summed; scores near 0 by the largest, whatever their unit."""
    size = torch.cat([y, other]).double().nan_to_num(0.0, 0.0, 0.0).abs().max().clamp(max=1.0).item()
    return torch.isclose(y.double(), other.double(), rtol=1e-4, atol=1e-5 * size, equal_nan=True)


def worst_mismatch(y: Float[Tensor, "k n"], other: Float[Tensor, "k n"]) -> str:
    """Two scores that should have been the same; the pair furthest apart."""
    gap = (y.double() - other.double()).abs().nan_to_num(math.inf)
    gap[(y == other) | (y.isnan() & other.isnan())] = 0
    at = gap.argmax()
    return f"{y.flatten()[at]:g} and {other.flatten()[at]:g}"


def _task(given: object, method: str) -> Task:
    if not isinstance(given, Task):
        raise UnmetRequirementError(f"wanted a task from `{method}`, got {given!r}; return self, or replace(self, ...)")
    return given


def images(test: Float[Tensor, "t *shape"]) -> dict[str, Float[Tensor, "_ *shape"]]:
    """Samples in [0, 1] of the shape of these, by what they are; of the given ones eight, evenly spread."""
    seeded = torch.Generator().manual_seed(0)
    shape = test.shape[1:]
    noise = torch.rand(8, *shape, generator=seeded)
    rare = torch.linspace(0.02, 0.98, 4).view(4, *[1] * len(shape))  # shares of ones
    return {
        "a black image": torch.zeros(1, *shape),
        "a white image": torch.ones(1, *shape),
        "grey noise": noise[:4],
        "black and white noise": (noise[4:] < rare).float(),
        "a sample of the data set": test[torch.linspace(0, len(test) - 1, 8).long()].float().cpu(),
        "an image decoded by a random network": _decoded(shape, 8, seeded),
    }


def _decoded(shape: torch.Size, count: int, seeded: torch.Generator) -> Float[Tensor, "c *shape"]:
    """Smooth samples: a random network of the coordinates and a code, from faint to black and white."""
    axes = [torch.linspace(-1, 1, size) if size > 1 else torch.zeros(1) for size in shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # (*shape, axes)
    made = []
    for contrast in torch.logspace(0, 2, count).tolist():
        first, second = torch.randn(len(shape), 32, generator=seeded), torch.randn(32, generator=seeded)
        hidden = torch.tanh(3 * places @ first + torch.randn(32, generator=seeded))
        made.append(torch.sigmoid(contrast * hidden @ second / 32**0.5))
    return torch.stack(made)
