"""Find a task or a searcher by name: a file in its folder, an entry point, or a path given by the user."""

import inspect
import pkgutil
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from lso_bench.errors import UsageError, unknown
from lso_bench.search import Searcher
from lso_bench.task import Task
from vae.settings import with_settings

KINDS: dict[str, tuple[type, str]] = {"task": (Task, "tasks"), "searcher": (Searcher, "lso_bench.search")}


def names(kind: str) -> dict[str, str]:
    """Every "task" or "searcher" by name, each with the first line of its docstring."""
    listed = {n: _first_line(c) for n, (c, _) in _built_in(kind).items()}
    return listed | {n: f"from {e.value}" for n, e in _published(kind).items() if n not in listed}


def build(kind: str, text: str) -> Any:
    """The task or searcher that `name` or `name:setting=value,...` or `./file.py` stands for.

    Raises:
        UsageError: no such name or setting, or a file that holds no such plugin.
    """
    name, _, settings = text.partition(":")
    cls, preset = _find(kind, name)
    try:
        return with_settings(cls(**preset), settings)
    except ValueError as error:
        raise UsageError(f"{kind.capitalize()} {text!r}: {error}") from error


def _find(kind: str, name: str) -> tuple[type, dict[str, Any]]:
    if name.endswith(".py"):
        return _only_class(kind, _module_at(Path(name))), {}
    if name in _built_in(kind):
        return _built_in(kind)[name]
    if name in _published(kind):
        return _published(kind)[name].load(), {}
    raise unknown(kind, name, [*_built_in(kind), *_published(kind)])


@cache
def _built_in(kind: str) -> dict[str, tuple[type, dict[str, Any]]]:
    """Of the folder: name, class and preset settings."""
    package = import_module(KINDS[kind][1])
    found: dict[str, tuple[type, dict[str, Any]]] = {}
    for file in pkgutil.iter_modules(package.__path__):
        cls = _only_class(kind, import_module(f"{package.__name__}.{file.name}"))
        variants = getattr(cls, "variants", {}) or {file.name: {}}
        found |= {n: (cls, preset) for n, preset in variants.items()}
    return found


def _published(kind: str) -> dict[str, EntryPoint]:
    return {e.name: e for e in entry_points(group=f"lso_bench.{kind}s")}


def _only_class(kind: str, module: ModuleType) -> type:
    base = KINDS[kind][0]
    own = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    found = [c for c in own if issubclass(c, base)]
    if len(found) != 1:
        raise UsageError(f"{module.__file__}: wanted one subclass of lso_bench.{base.__name__}, got {len(found)}.")
    return found[0]


def _module_at(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"No file {str(path)!r}.")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise UsageError(f"{path} does not import: {type(error).__name__}: {error}") from error
    return module


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]
