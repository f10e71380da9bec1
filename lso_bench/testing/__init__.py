"""The contract of a task, for those who write one: `from lso_bench.testing import check_task`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from lso_bench import plugins
from lso_bench.errors import UsageError
from lso_bench.task import Task
from lso_bench.testing.case import BrokenPromiseError, Case
from lso_bench.testing.promises import PROMISES, Promise
from vae.discovery import built, usable
from vae.errors import UnusableError


@dataclass(frozen=True)
class Finding:
    """What was seen of one promise."""

    promise: str
    says: str  # what is promised
    state: Literal["ok", "missing", "not made"]
    missing: str = ""  # what was wanted, what came and what to do

    def __str__(self) -> str:
        return f"{self.state:8}  {self.promise}: {self.missing or self.says}"


def check_task(
    task: str | Path | type[Task] | Task, samples: Float[Tensor, "t *shape"] | None = None, data_dir: Path | None = None
) -> None:
    """Nothing, if `task` keeps every promise.

    Args:
        task: a name with or without settings, a file, a class or an instance.
        samples: to test it on, in [0, 1]; the test set of the task's own data set if left out.
        data_dir: where data sets lie.

    Raises:
        AssertionError: says of every broken promise what is missing.
        UsageError: there is no such task, or it cannot be built.
        vae.errors.UnusableError: its data set is missing.
    """
    broken = [f"{f.promise}: {f.missing}" for f in examine(task, samples, data_dir) if f.state == "missing"]
    if broken:
        raise AssertionError("\n- ".join([f"{len(broken)} broken promises of {task!r}:", *broken]))


def examine(
    task: str | Path | type[Task] | Task, samples: Float[Tensor, "t *shape"] | None = None, data_dir: Path | None = None
) -> Iterator[Finding]:
    """What is seen of each promise of `task`, in turn; ends at one without which the others cannot be looked at.

    Arguments and errors are those of `check_task`.
    """
    case = Case(_built(task), samples, data_dir)
    for promise in PROMISES:
        finding = _finding(promise, case)
        yield finding
        if finding.missing and promise.first:
            return


def _built(task: str | Path | type[Task] | Task) -> Task:
    if isinstance(task, str | Path):
        return plugins.build("task", str(task))
    try:
        if isinstance(task, type):
            return built(Task, task, task.__name__)
        usable(Task, type(task), type(task).__name__)
        return task
    except ValueError as error:
        raise UsageError(str(error)) from error


def _finding(promise: Promise, case: Case) -> Finding:
    name, says = promise.name, promise.says
    if not promise.made(case.bare):
        return Finding(name, says, "not made")
    try:
        promise.check(case)
    except (BrokenPromiseError, UsageError) as error:
        return Finding(name, says, "missing", " ".join(str(error).split()))
    except UnusableError:
        raise
    except Exception as error:  # whatever a task raises
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(name, says, "missing", f"wanted no error, got {what}; look at the task's code for it")
    return Finding(name, says, "ok")
