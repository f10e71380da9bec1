"""What a task plugin writes: a score for images."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from jaxtyping import Float, Int
from torch import Tensor


class Task(ABC):
    """What is good; a frozen dataclass whose fields are its settings and go into every record."""

    data: str = ""  # the data set whose samples it scores; every task names one
    optimum: ClassVar[float | None] = None  # the best possible score, where known
    differentiable: ClassVar[bool] = True  # whether gradients of the score reach the sample
    variants: ClassVar[dict[str, dict[str, Any]]] = {}  # further names, each with its settings; none: the file's name
    has_targets: ClassVar[bool] = False  # whether each instance is about one sample, which `targets` gives
    instances: int = 1  # problems solved side by side

    @abstractmethod
    def score(self, x: Float[Tensor, "k n *shape"]) -> Float[Tensor, "k n"]:
        """Higher is better; every sample is scored on its own."""

    def bind(self, test: Float[Tensor, "t *shape"]) -> "Task":
        """The task with what it needs of the test set; called once before a run (default: nothing)."""
        return self

    def at(self, instances: Int[Tensor, " k"]) -> "Task":
        """The same task for these instances, one after the other (default: they do not differ)."""
        return self

    def targets(self) -> Float[Tensor, "k *shape"] | None:
        """The sample each instance is about: the teacher of an autoregressive decoder, encoded for a start."""
        return None

    def beside(self, x: Float[Tensor, "k n *shape"]) -> dict[str, Float[Tensor, "k n"]]:
        """What is worth knowing of found samples beside their score, by name (default: nothing).

        Each sample on its own, as in `score`. Medians of it are shown, beside that of test images; of `valid`, 0 or 1
        where a task says which samples count, the share.
        """
        return {}
