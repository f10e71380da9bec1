"""Weights of models without a checkpoint, as earlier runs recorded them: so that finished runs are counted."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

from lso_bench.errors import UnusableError
from lso_bench.files.sanitize import some
from lso_bench.record import Record
from lso_bench.store.store import existing
from lso_bench.study import completeness
from lso_bench.study.grid import PlannedRun
from lso_bench.study.lookup import changed_since
from lso_bench.vae.trained_model import Model


def recorded_weights(records: Iterable[Record]) -> Callable[[Model], str]:
    """Return a function from a model to the sha256 of the weights of its runs, for `lso_bench.study.grid.plan`.

    It is empty if no run recorded any, if runs recorded several, or if the user's files of the model have changed.
    """

    @cache
    def by_model() -> dict[Model, set[str]]:
        recorded: dict[Model, set[str]] = {}
        for r in records:
            recorded.setdefault(r.spec.model, set()).add(r.spec.checkpoint)
        return recorded

    def weights(model: Model) -> str:
        recorded = by_model().get(model, set())
        return "".join(recorded) if len(recorded) == 1 and not changed_since(model) else ""

    return weights


def check_weights(planned: Sequence[PlannedRun], folder: Path) -> None:
    """Refuse to run what needs a checkpoint that is not here; finished runs need none.

    Raises:
        UnusableError: the message says how to train the first of these models, and how many more there are.
    """
    if not any(p.untrained for p in planned):
        return
    todo = completeness.check(planned, existing(folder)).are("absent", "again")
    if reasons := [*dict.fromkeys(p.untrained for p in todo if p.untrained)]:
        rest = f" ({len(reasons) - 1} more checkpoints are missing: --dry-run names them.)" if reasons[1:] else ""
        raise UnusableError(reasons[0] + rest)


def untrained(planned: Sequence[PlannedRun]) -> list[str]:
    """Return a line for each model without a checkpoint, and one if runs were counted without it."""
    lines = some([*dict.fromkeys(p.untrained for p in planned if p.untrained)])
    counted = sum(bool(p.untrained and p.spec.checkpoint) for p in planned)
    if counted:
        lines.append(
            f"{counted} runs without a checkpoint are looked up by the weights that earlier runs recorded. Put these "
            "checkpoints back to run more of them: another training is another model, and its runs are others."
        )
    return lines
