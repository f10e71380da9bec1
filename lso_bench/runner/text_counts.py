"""Texts that a run scored: their counts, and the best valid one of each problem."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.task import Task
from lso_bench.task.text_task import TextTask


@dataclass
class TextCounts:
    """Evaluations of invalid texts, and the texts of each problem; empty for tasks of other samples."""

    invalid: int = 0
    seen: set[tuple[int, str]] = field(default_factory=set)  # problem, what a text stands for
    best: dict[int, tuple[float, str]] = field(default_factory=dict)  # by problem: score and text, if one was valid

    def add(
        self, task: Task, problems: Int[Tensor, " a"], x: Float[Tensor, "a n *shape"], y: Float[Tensor, "a n"]
    ) -> None:
        """Count the samples x of some problems, and their scores y."""
        if not isinstance(task, TextTask):
            return
        texts, invalid = task.texts(x), y == y.new_tensor(task.invalid_score)
        with plugin_errors("task", task):
            subjects = task.subjects(texts)
            self.seen.update(zip(problems.repeat_interleave(x.shape[1]).tolist(), subjects, strict=True))
        self.invalid += int(invalid.sum())
        scores, places = y.masked_fill(invalid, -torch.inf).max(1)
        for i, (problem, score, place) in enumerate(zip(*map(Tensor.tolist, (problems, scores, places)), strict=True)):
            if score > self.best.get(problem, (-math.inf, ""))[0]:
                self.best[problem] = score, texts[i * x.shape[1] + place]

    def of_record(self) -> dict[str, int]:
        """Return the evaluations of invalid texts, and those of what is new to its problem, such as a molecule."""
        return {"invalid_texts": self.invalid, "distinct_texts": len(self.seen)} if self.seen else {}
