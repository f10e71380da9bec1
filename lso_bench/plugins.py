"""Find a task or a searcher by name: a file in its folder, an entry point, or a path given by the user."""

import hashlib
import pkgutil
import sys
from dataclasses import fields
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from lso_bench.errors import UsageError, unknown
from lso_bench.search import Searcher
from lso_bench.task import Task
from vae.discovery import (
    built,
    clashes,
    first_line,
    hidden,
    loaded,
    made,
    module_at,
    module_named,
    only_class,
    published,
    usable,
)
from vae.settings import settings_of, with_settings

KINDS: dict[str, tuple[type, str]] = {"task": (Task, "tasks"), "searcher": (Searcher, "lso_bench.search")}


class _Plugin(NamedTuple):
    """A class of a folder under one of its names."""

    cls: type
    preset: dict[str, Any]  # the settings that the name stands for
    module: str


def names(kind: str) -> dict[str, str]:
    """Every "task" or "searcher" by name, each with the first line of its docstring and its settings."""
    listed = {n: first_line(p.cls) + _settings(p) for n, p in _in_folder(kind)[0].items()}
    faulty = faults(kind)
    return listed | {n: f"from {e.value}" for n, e in published(_group(kind)).items() if n not in faulty}


def faults(kind: str) -> dict[str, str]:
    """What cannot be used, by name, and why: of the folder what is faulty, of entry points whose name is taken."""
    plugins, faulty = _in_folder(kind)
    return hidden(_group(kind), plugins.__contains__) | clashes(_group(kind)) | faulty


def build(kind: str, text: str) -> Any:
    """The task or searcher that `name` or `name:setting=value,...` or `./file.py` stands for.

    Raises:
        UsageError: no such name or setting, or a file or entry point that holds no such plugin.
    """
    name, _, settings = text.partition(":")
    try:
        found = made(lambda: with_settings(_made(kind, name), settings), name)
    except (ValueError, TypeError) as error:
        if isinstance(error.__cause__, UsageError):  # says all by itself
            raise error.__cause__ from None
        raise UsageError(f"{kind.capitalize()} {text!r}: {error}") from error
    _digest(type(found))  # now: the file may be edited while its class is at work
    return found


def resolved(kind: str, text: str) -> str:
    """`text` with every setting written out, for a record: what it means does not depend on today's defaults."""
    values = settings_of(build(kind, text)).items()
    return text.partition(":")[0] + (":" + ",".join(f"{k}={v}" for k, v in values) if values else "")


def source_hash(*texts: str) -> str:
    """sha256 of the files among these that are given by path; empty where there are none."""
    files = [Path(t.partition(":")[0]) for t in texts]
    content = b"".join(f.read_bytes() for f in files if f.suffix == ".py" and f.is_file())
    return hashlib.sha256(content).hexdigest() if content else ""


def origin(kind: str, text: str) -> dict[str, str]:
    """Which version of a task or searcher this process has, for a record's versions.

    `task_sha256`: of the file of its class, 16 hexadecimal digits. Of one that a package publishes also
    `task_package`: the package's name and version.

    Raises:
        UsageError: as `build`.
    """
    digest, name = _digest(type(build(kind, text))), text.partition(":")[0]
    entry = None if name.endswith(".py") or name in _in_folder(kind)[0] else published(_group(kind)).get(name)
    package = f"{entry.dist.name} {entry.dist.version}" if entry and entry.dist else ""
    return {k: v for k, v in ((f"{kind}_sha256", digest), (f"{kind}_package", package)) if v}


@lru_cache(maxsize=256)
def _digest(cls: type) -> str:
    """Of the file that defines the class; empty where there is none to be read."""
    try:
        content = Path(str(sys.modules[cls.__module__].__file__)).read_bytes()
    except (OSError, KeyError):
        return ""
    return hashlib.sha256(content).hexdigest()[:16]


def _made(kind: str, name: str) -> Any:
    """With its defaults."""
    base, _ = KINDS[kind]
    if name.endswith(".py"):
        return built(base, only_class(base, module_at(Path(name))), name)
    plugins, _ = _in_folder(kind)
    if name in plugins:
        return plugins[name].cls(**plugins[name].preset)
    offered, faulty = published(_group(kind)), faults(kind)
    if name in faulty:
        raise ValueError(faulty[name])
    if name in offered:
        return built(base, loaded(offered[name]), offered[name].value)
    left_out = f" Faulty, and left out: {', '.join(faulty)}." if faulty else ""
    raise UsageError(f"{unknown(kind, name, [*plugins, *offered])}{left_out}")


@cache
def _in_folder(kind: str) -> tuple[dict[str, _Plugin], dict[str, str]]:
    """What the files of the folder define, by name; and what of them is faulty, with a line each."""
    package = import_module(KINDS[kind][1])
    found: dict[str, list[_Plugin]] = {}
    faulty: dict[str, str] = {}
    for file in pkgutil.iter_modules(package.__path__):
        try:
            for name, plugin in _variants(kind, f"{package.__name__}.{file.name}").items():
                found.setdefault(name, []).append(plugin)
        except ValueError as error:
            faulty[file.name] = " ".join(str(error).split())
    for name, several in found.items():
        if len(several) > 1:
            faulty[name] = f"defined by both {' and '.join(p.module for p in several)}; rename one"
    return {name: p for name, (p, *more) in found.items() if not more}, faulty


def _variants(kind: str, module: str) -> dict[str, _Plugin]:
    """The plugins of one file by name.

    Raises:
        ValueError: it does not import, or holds no such class or several, or one that cannot be built.
    """
    cls = usable(KINDS[kind][0], only_class(KINDS[kind][0], module_named(module)), module)
    variants, known = getattr(cls, "variants", {}) or {module.rpartition(".")[2]: {}}, {f.name for f in fields(cls)}
    if not (isinstance(variants, dict) and all(isinstance(p, dict) and p.keys() <= known for p in variants.values())):
        raise ValueError(f"{module}: `variants` wants names, each with a dict of settings, got {variants!r}.")
    return {name: _Plugin(cls, preset, module) for name, preset in variants.items()}


def _group(kind: str) -> str:
    return f"lso_bench.{kind}s"


def _settings(plugin: _Plugin) -> str:
    values = settings_of(plugin.cls) | plugin.preset
    return "\n" + ", ".join(f"{k}={v}" for k, v in values.items()) if values else ""
