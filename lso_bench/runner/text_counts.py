"""Counts of the texts that a run scored."""

from dataclasses import dataclass, field

from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.task import Task
from lso_bench.task.text_task import TextTask


@dataclass
class TextCounts:
    """Evaluations of invalid texts, and the texts of each problem; empty for tasks of other samples."""

    invalid: int = 0
    seen: set[tuple[int, str]] = field(default_factory=set)  # problem, text

    def add(
        self, task: Task, problems: Int[Tensor, " a"], x: Float[Tensor, "a n *shape"], y: Float[Tensor, "a n"]
    ) -> None:
        """Count the samples x of some problems, and their scores y."""
        if isinstance(task, TextTask):
            self.seen.update(zip(problems.repeat_interleave(x.shape[1]).tolist(), task.texts(x), strict=True))
            self.invalid += int((y == y.new_tensor(task.invalid_score)).sum())

    def of_record(self) -> dict[str, int]:
        """Return the evaluations of invalid texts, and those of a text that is new to its problem."""
        return {"invalid_texts": self.invalid, "distinct_texts": len(self.seen)} if self.seen else {}
