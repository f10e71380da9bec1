"""Texts that searches found, and what is said beside their scores: novelty, length, the nearest training row."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lso_bench.files.sanitize import storable
from lso_bench.plugins.containment import reason
from lso_bench.runner.plugin_errors import plugin_errors
from lso_bench.runner.text_counts import TextCounts
from lso_bench.task import Task
from lso_bench.task.nearest_row import TrainingRows
from lso_bench.task.text_task import TextTask

NOTHING: dict[str, Any] = {"text": "", "nearest": "", "beside": {"valid": 0.0}}  # of a search without a valid text
TEST_TEXTS = 20  # test texts of the baseline of the similarity, whose rows are searched one by one


def found_texts(
    task: Task, counts: TextCounts, x: Float[Tensor, "k *shape"], rows: TrainingRows | None
) -> list[dict[str, Any]]:
    """Return `text`, `final_text`, `nearest` and `beside` of each search; nothing for a task of other samples.

    Args:
        x: samples that the searches ended with.
        rows: training rows of the task's data.

    Raises:
        PluginError: the task's nearest rows are not a row and a similarity in [0, 1] for each text.
    """
    if not isinstance(task, TextTask) or rows is None:
        return [{} for _ in x]
    best = {problem: text for problem, (_, text) in counts.best.items()}
    valid = [*dict.fromkeys(best.values())]
    measured = dict(zip(valid, _measured(task, valid, rows), strict=True))
    with_text = {i: {"text": storable(text)} | measured[text] for i, text in best.items()}
    finals = task.texts(x.unsqueeze(1))
    return [with_text.get(i, NOTHING) | {"final_text": storable(final)} for i, final in enumerate(finals)]


def usual_texts(task: Task, test: Float[Tensor, "t *shape"], rows: TrainingRows | None) -> dict[str, float]:
    """Return the auxiliary values of the first test texts, as of found ones: medians, and shares."""
    if not isinstance(task, TextTask) or rows is None:
        return {}
    beside = [m["beside"] for m in _measured(task, task.texts(test[None, :TEST_TEXTS]), rows)]
    columns = {name: sorted(values[name] for values in beside) for name in beside[0]}
    shares = {"novel": sum(columns["novel"]) / len(beside)}
    return {k: v[(len(v) - 1) // 2] for k, v in columns.items() if k != "valid"} | shares


def _measured(task: TextTask, texts: Sequence[str], rows: TrainingRows) -> list[dict[str, Any]]:
    """Return `nearest` and `beside` of valid texts."""
    with plugin_errors("task", task):
        nearest = _checked(task.nearest([*texts], rows), texts)
        subjects, of_rows = task.subjects([*texts]), task.subjects([row for row, _ in nearest])
    lengths = [len(rows.as_tokens.tokens(text)) for text in texts]
    return [
        {
            "nearest": storable(row),
            "beside": {
                "valid": 1.0,
                "novel": float(text not in rows.known and subject != of_row),
                "length": float(length),
                "longer_than": rows.share_shorter(length),
                "similarity": similarity,
            },
        }
        for text, length, (row, similarity), subject, of_row in zip(
            texts, lengths, nearest, subjects, of_rows, strict=True
        )
    ]


def _checked(nearest: object, texts: Sequence[str]) -> list[tuple[str, float]]:
    """Return the nearest rows that a task gave.

    Raises:
        ValueError: they are not a row and a similarity in [0, 1] for each text.
    """
    try:
        rows = [(row, float(similarity)) for row, similarity in nearest]  # pyright: ignore[reportGeneralTypeIssues]
    except (TypeError, ValueError) as error:
        raise ValueError(f"wanted a row and a similarity of each text from `nearest`, got {reason(error)}") from error
    if len(rows) != len(texts) or not all(isinstance(row, str) and 0 <= s <= 1 for row, s in rows):
        raise ValueError(f"wanted {len(texts)} rows with similarities in [0, 1] from `nearest`, got {rows[:3]}")
    return rows
