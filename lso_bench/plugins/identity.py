"""The code and data that a run was planned with, and the refusal of any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lso_bench.errors import UnusableError
from lso_bench.plugins import registry
from lso_bench.search import Searcher
from lso_bench.spec import Spec
from lso_bench.task import Task
from lso_bench.vae.data import file_name


@dataclass(frozen=True)
class Identity:
    """What a spec has no place for; empty: not known, and so not looked at."""

    task: str = ""  # of the version of its code: `task_sha256` and `task_package` of a record
    searcher: str = ""  # likewise
    data: str = ""  # of the files of a data set of the user's own, as in the name of a checkpoint


UNKNOWN = Identity()


def identity(task: str, built_task: Task, searcher: str, built_searcher: Searcher) -> Identity:
    """The identity of the runs of a task and a searcher, given their names and what they stand for."""
    code = _version("task", task, built_task), _version("searcher", searcher, built_searcher)
    return Identity(*code, file_name(built_task.data))


def check_files(spec: Spec) -> None:
    """Refuse to execute a task or searcher file that is not as it was when the run was planned.

    Raises:
        UnusableError: names the files.
    """
    if registry.source_hash(spec.task, spec.searcher) != spec.source:
        raise _other_files(spec)


def check(spec: Spec, planned: Identity, task: object, searcher: object) -> None:
    """Refuse a task or searcher whose code is not what the run was planned with.

    Raises:
        UnusableError: names it.
    """
    if registry.source_of(task, searcher) != spec.source:
        raise _other_files(spec)
    for kind, text, plugin in (("task", spec.task, task), ("searcher", spec.searcher, searcher)):
        if (before := getattr(planned, kind)) and _version(kind, text, plugin) != before:
            raise changed(f"The code of {kind} {text!r} is another on this machine, or")


def check_late_imports(spec: Spec, task: object, searcher: object) -> None:
    """Refuse a run in which a task or searcher imported, after it was built, what the run was not planned with.

    Raises:
        UnusableError: names the files.
    """
    if registry.source_now(task, searcher) != spec.source:
        raise _other_files(spec)


def contradiction(spec: Spec, versions: Mapping[str, Any]) -> str:
    """Return a line if a record says that it was made by other code than its spec has; empty if not.

    Of two files the spec has one hash of both, of which nothing can be told.
    """
    kinds = [k for k in ("task", "searcher") if registry.files(getattr(spec, k))]
    if not spec.source or len(kinds) != 1:
        return ""
    said = str(versions.get(f"{kinds[0]}_sha256", spec.source))
    return "" if spec.source.startswith(said) else f"it was made by another version of its {kinds[0]} file ({said})"


def changed(what: str) -> UnusableError:
    """Return the refusal of what is not as it was."""
    return UnusableError(f"{what} has changed since the run was planned; run the command again.")


def _other_files(spec: Spec) -> UnusableError:
    named = " or ".join(registry.files(spec.task, spec.searcher)) or "A task or searcher file"
    return changed(f"{named}, or what is imported from beside it,")


def _version(kind: str, text: str, plugin: object) -> str:
    return " ".join(registry.code_version_of(kind, text, plugin).values())
