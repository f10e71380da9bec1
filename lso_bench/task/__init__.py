"""Base class of task plugins: a score for images."""

from abc import ABC, abstractmethod
from numbers import Real
from typing import Any, ClassVar, TypeGuard

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.plugins.registry import Registry


class Task(ABC):
    """A score to maximise; a frozen dataclass whose fields are its settings and are stored in every record."""

    data: str = ""  # the data set whose samples it scores; every task names one
    optimum: ClassVar[float | None] = None  # best possible score, if known
    differentiable: ClassVar[bool] = True  # whether gradients of the score reach the sample
    invalid_score: float | None = None  # score that NaN counts as: finite, below every other one; None: there is none
    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # further names with their settings; empty: the name of the file
    has_targets: ClassVar[bool] = False  # whether each instance is about one sample, which `targets` gives
    instances: int = 1  # problems solved side by side

    @abstractmethod
    def score(self, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n"]:
        """Return the scores; higher is better. Each sample is scored independently of the rest."""

    def bind(self, test: Float[Tensor, "t *shape"]) -> "Task":
        """Return the task with what it needs from the test set; called once before a run (default: the task itself)."""
        return self

    def at(self, instances: Int[Tensor, " k"]) -> "Task":
        """Return the task for these instances, in this order (default: the task itself, because they do not differ)."""
        return self

    def targets(self) -> Float[Tensor, "k *shape"] | None:
        """Return the target of each instance, which a decoder's teacher forcing and the encoder start use; None
        without targets.
        """
        return None

    def beside(self, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
        """Return auxiliary values of samples beside their score, by name (default: none).

        Each value depends on its sample alone, as in `score`. Reports show medians, beside those of test images.
        `valid` is 0 or 1 and says which samples count, `exact` which are their target; reports show the fraction. So
        they do of `novel`.
        """
        return {}


def stated_invalid_score(task: Task) -> float | None:
    """Return the score that NaN counts as; None if the task states none.

    Raises:
        ValueError: it is no finite number.
    """
    invalid = task.invalid_score
    if not (invalid is None or is_finite(invalid)):
        raise ValueError(f"wanted a finite `invalid_score`, got {invalid!r}; state it in the class")
    return None if invalid is None else float(invalid)


def is_finite(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that single precision holds."""
    return isinstance(value, Real) and abs(float(value)) <= torch.finfo(torch.float32).max


TASKS = Registry(
    "task",
    Task,
    "lso_bench.tasks",
    "lso_bench.tasks",
    pinned=True,
    advice="write a subclass with a method `score`, or of TextTask with `score_texts`",
)
