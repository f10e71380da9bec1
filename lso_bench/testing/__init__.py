"""Contract tests for authors of plugins: `from lso_bench.testing import check_task, check_searcher, check_model`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from lso_bench.errors import UsageError
from lso_bench.files.remarks import remark
from lso_bench.plugins.discovery import instantiate, require_plugin_class
from lso_bench.runner.identity import PLUGINS
from lso_bench.search import Searcher
from lso_bench.study.lookup import without_trainings
from lso_bench.task import Task
from lso_bench.testing import model_promises, searcher_promises, task_promises, text_model_promises
from lso_bench.testing.model_case import ModelCase
from lso_bench.testing.promise import Finding, check, run_checks
from lso_bench.testing.searcher_case import STEPS, SearcherCase
from lso_bench.testing.side_effects import OFTEN, Watch
from lso_bench.testing.task_case import TaskCase
from lso_bench.vae import external_model
from lso_bench.vae.frozen_models import FROZEN_MODELS, FrozenModel, FrozenTextModel, has_trainings


def check_task(
    task: str | Path | type[Task] | Task, samples: Float[Tensor, "t *shape"] | None = None, data_dir: Path | None = None
) -> None:
    """Check that `task` meets every requirement.

    Args:
        task: a name with or without settings, a file, a class or an instance.
        samples: test samples in [0, 1]; by default the test set of the task's own data set.
        data_dir: folder of data sets.

    Raises:
        AssertionError: names every unmet requirement.
        UsageError: there is no such task, or it cannot be built.
        UnusableError: its data set is missing.
    """
    check(examine(task, samples, data_dir), task)


def examine(
    task: str | Path | type[Task] | Task, samples: Float[Tensor, "t *shape"] | None = None, data_dir: Path | None = None
) -> Iterator[Finding]:
    """Yield a finding for each requirement of `task`, in turn; end at an unmet one that later checks depend on.

    Arguments and errors are those of `check_task`.
    """
    watch = Watch()
    return run_checks(task_promises.REQUIREMENTS, TaskCase(_instantiate("task", task, watch), samples, data_dir, watch))


def check_searcher(searcher: str | Path | type[Searcher] | Searcher, steps: int = STEPS) -> None:
    """Check that `searcher` meets every requirement.

    Args:
        searcher: a name with or without settings, a file, a class or an instance.
        steps: number of steps of each test search; fewer for slow searchers, but enough to use its scores.

    Raises:
        AssertionError: names every unmet requirement.
        UsageError: there is no such searcher, or it cannot be built.
    """
    check(examine_searcher(searcher, steps), searcher)


def examine_searcher(searcher: str | Path | type[Searcher] | Searcher, steps: int = STEPS) -> Iterator[Finding]:
    """Yield a finding for each requirement of `searcher`, in turn.

    Arguments and errors are those of `check_searcher`.
    """
    watch = Watch()
    case = SearcherCase(_instantiate("searcher", searcher, watch), watch, steps)
    return run_checks(searcher_promises.REQUIREMENTS, case)


def check_model(
    model: str | Path | type[FrozenModel] | FrozenModel,
    samples: Float[Tensor, "t *shape"] | None = None,
    data_dir: Path | None = None,
    seed: int = 0,
) -> None:
    """Check that a frozen model from outside meets every requirement.

    Args:
        model: a name with or without settings, a file, a class or an instance.
        samples: samples of its data set; by default the test set.
        data_dir: folder of data sets.
        seed: of its training, if it has a field `seed`; an instance has its own.

    Raises:
        AssertionError: names every unmet requirement.
        UsageError: there is no such model, or it cannot be built.
        UnusableError: its data set or its weights are missing.
    """
    check(examine_model(model, samples, data_dir, seed), model)


def examine_model(
    model: str | Path | type[FrozenModel] | FrozenModel,
    samples: Float[Tensor, "t *shape"] | None = None,
    data_dir: Path | None = None,
    seed: int = 0,
) -> Iterator[Finding]:
    """Yield a finding for each requirement of a frozen model, in turn; end at an unmet one that later checks need.

    Arguments and errors are those of `check_model`.
    """
    watch = Watch()
    plugin = _instantiate("model", model, watch)
    name = str(model) if isinstance(model, str | Path) else type(plugin).__name__
    if not isinstance(model, FrozenModel):
        plugin = external_model.training(plugin, seed, name)
        if seed and not has_trainings(plugin):
            remark(without_trainings([name]))
    of_texts = isinstance(plugin, FrozenTextModel)
    requirements = text_model_promises.TEXT_REQUIREMENTS if of_texts else model_promises.REQUIREMENTS
    is_live = not isinstance(model, str | Path)
    return run_checks(requirements, ModelCase(plugin, name, samples, data_dir, watch, is_live))


def _instantiate(kind: str, plugin: Any, watch: Watch) -> Any:
    registry = {**PLUGINS, "model": FROZEN_MODELS}[kind]
    if isinstance(plugin, str | Path):
        registry.build(str(plugin))  # imports its libraries, whose side effects are not the plugin's own
        with watch.during("its import", times=OFTEN):
            return registry.build(str(plugin))
    base = registry.base
    try:
        if isinstance(plugin, type):
            with watch.during("__init__", times=OFTEN):
                return instantiate(base, plugin, plugin.__name__)
        if not isinstance(plugin, FrozenModel):  # two modules are a model without defaults
            require_plugin_class(base, type(plugin), type(plugin).__name__)
        return plugin
    except ValueError as error:
        raise UsageError(str(error)) from error
