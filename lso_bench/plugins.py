"""Find a task or a searcher by name: a file in its folder, an entry point, or a path given by the user."""

import hashlib
import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lso_bench.errors import UsageError, unknown
from lso_bench.search import Searcher
from lso_bench.task import Task
from vae.discovery import loaded, module_at, only_class, published
from vae.settings import settings_of, with_settings

KINDS: dict[str, tuple[type, str]] = {"task": (Task, "tasks"), "searcher": (Searcher, "lso_bench.search")}


def names(kind: str) -> dict[str, str]:
    """Every "task" or "searcher" by name, each with the first line of its docstring."""
    listed = {n: _first_line(c) for n, (c, _) in _built_in(kind).items()}
    return listed | {n: f"from {e.value}" for n, e in published(f"lso_bench.{kind}s").items() if n not in listed}


def build(kind: str, text: str) -> Any:
    """The task or searcher that `name` or `name:setting=value,...` or `./file.py` stands for.

    Raises:
        UsageError: no such name or setting, or a file that holds no such plugin.
    """
    name, _, settings = text.partition(":")
    try:
        cls, preset = _find(kind, name)
        return with_settings(cls(**preset), settings)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{kind.capitalize()} {text!r}: {error}") from error


def resolved(kind: str, text: str) -> str:
    """`text` with every setting written out, for a record: what it means does not depend on today's defaults."""
    values = settings_of(build(kind, text)).items()
    return text.partition(":")[0] + (":" + ",".join(f"{k}={v}" for k, v in values) if values else "")


def source_hash(*texts: str) -> str:
    """sha256 of the files among these that are given by path; empty where there are none."""
    files = [Path(t.partition(":")[0]) for t in texts]
    content = b"".join(f.read_bytes() for f in files if f.suffix == ".py" and f.is_file())
    return hashlib.sha256(content).hexdigest() if content else ""


def _find(kind: str, name: str) -> tuple[type, dict[str, Any]]:
    if name.endswith(".py"):
        return only_class(KINDS[kind][0], module_at(Path(name))), {}
    if name in _built_in(kind):
        return _built_in(kind)[name]
    offered = published(f"lso_bench.{kind}s")
    if name in offered:
        return loaded(offered[name]), {}
    raise unknown(kind, name, [*_built_in(kind), *offered])


@cache
def _built_in(kind: str) -> dict[str, tuple[type, dict[str, Any]]]:
    """Of the folder: name, class and preset settings."""
    package = import_module(KINDS[kind][1])
    found: dict[str, tuple[type, dict[str, Any]]] = {}
    for file in pkgutil.iter_modules(package.__path__):
        cls = only_class(KINDS[kind][0], import_module(f"{package.__name__}.{file.name}"))
        variants = getattr(cls, "variants", {}) or {file.name: {}}
        found |= {n: (cls, preset) for n, preset in variants.items()}
    return found


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().split("\n")[0]
