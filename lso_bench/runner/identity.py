"""Identity of the code and data that a run was planned with; other code or data are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lso_bench.errors import LsoBenchError, PluginError, UnusableError, UsageError
from lso_bench.plugins import code_version
from lso_bench.plugins.notation import name_of
from lso_bench.plugins.registry import Registry
from lso_bench.search import SEARCHERS, Searcher
from lso_bench.spec import Spec
from lso_bench.task import TASKS, Task
from lso_bench.vae.data import file_name
from lso_bench.vae.data_path import data_of
from lso_bench.vae.trained_model import Model


@dataclass(frozen=True)
class Identity:
    """Versions of code and data of a planned run that its spec does not hold; empty: not known, not checked."""

    task: str = ""  # version of its code: `task_sha256` and `task_package` of a record
    searcher: str = ""  # version of its code, likewise
    data: str = ""  # version of the user's data files, as in the name of a checkpoint


UNKNOWN = Identity()
PLUGINS: dict[str, Registry] = {"task": TASKS, "searcher": SEARCHERS}  # plugins that a run names


def identity(task: str, built_task: Task, searcher: str, built_searcher: Searcher) -> Identity:
    """Return the identity of runs of a task and a searcher, given their names and the plugins."""
    code = _version("task", task, built_task), _version("searcher", searcher, built_searcher)
    return Identity(*code, file_name(data_of(built_task)))


def check_files(spec: Spec) -> None:
    """Refuse a task or searcher file that changed since the run was planned, before it is executed.

    Raises:
        UnusableError: names the files.
    """
    if code_version.source_hash(spec.task, spec.searcher) != spec.source:
        raise _changed_files(spec)


def check(spec: Spec, planned: Identity, task: object, searcher: object) -> None:
    """Refuse a task or searcher whose code changed since the run was planned.

    Raises:
        UnusableError: names it.
    """
    if code_version.source_of(task, searcher) != spec.source:
        raise _changed_files(spec)
    for kind, text, plugin in (("task", spec.task, task), ("searcher", spec.searcher, searcher)):
        if (planned_version := getattr(planned, kind)) and _version(kind, text, plugin) != planned_version:
            raise changed(f"The code of {kind} {text!r} is another on this machine, or")


def check_late_imports(spec: Spec, task: object, searcher: object) -> None:
    """Refuse a run in which a task or searcher later imported code that the run was not planned with.

    Raises:
        UnusableError: names the files.
    """
    if code_version.source_now(task, searcher) != spec.source:
        raise _changed_files(spec)


def recorded_version(kind: str, spec: Spec, versions: Mapping[str, Any]) -> dict[str, str]:
    """Return the version of a task's or searcher's code that a record has; empty if it has none.

    An earlier version of a searcher whose results are those of the present one counts as the present one.
    """
    recorded = {k: str(versions[k]) for k in (f"{kind}_sha256", f"{kind}_package") if k in versions}
    if kind == "task" or not recorded:
        return recorded
    earlier, present = _versions(spec.searcher)
    version = recorded.get("searcher_sha256", "")
    if version not in earlier or (earlier[version] and spec.region.startswith(earlier[version])):
        return recorded
    return present


@cache
def _versions(searcher: str) -> tuple[Mapping[str, str], dict[str, str]]:
    """Return the earlier versions of a built-in searcher and its present one; none of others, which are not run."""
    if not SEARCHERS.is_built_in(name_of(searcher)):
        return {}, {}
    try:
        return SEARCHERS.build(searcher).earlier, SEARCHERS.code_version(searcher)
    except (UsageError, UnusableError):
        return {}, {}


def contradiction(spec: Spec, versions: Mapping[str, Any]) -> str:
    """Return a line if a record's versions contradict the hash in its spec; empty if not.

    If both plugins are files, the spec has one hash of both, and nothing is compared.
    """
    kinds = [k for k in ("task", "searcher") if code_version.files(getattr(spec, k))]
    if not spec.source or len(kinds) != 1:
        return ""
    recorded = str(versions.get(f"{kinds[0]}_sha256", spec.source))
    return (
        ""
        if spec.source.startswith(recorded)
        else f"it was made by another version of its {kinds[0]} file ({recorded})"
    )


def changed(subject: str) -> UnusableError:
    """Return the error about something that changed since the run was planned."""
    return UnusableError(f"{subject} has changed since the run was planned; run the command again.")


def changed_model(model: Model, checkpoint: Path) -> LsoBenchError:
    """Return the error about a model that changed since the run was planned.

    That of an external model concerns its own runs alone: others of the study go on.
    """
    if model.external:
        return PluginError(f"model {model.name}, or its weights, changed since the run was planned; run it again")
    return changed(str(checkpoint))


def _changed_files(spec: Spec) -> UnusableError:
    names = " or ".join(code_version.files(spec.task, spec.searcher)) or "A task or searcher file"
    return changed(f"{names}, or what is imported from beside it,")


def _version(kind: str, text: str, plugin: object) -> str:
    return " ".join(PLUGINS[kind].code_version(text, plugin).values())
