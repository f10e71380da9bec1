"""Find a task or a searcher by name: a file in its folder, an entry point, or a path given by the user."""

import hashlib
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.search import Searcher
from lso_bench.task import Task
from lso_bench.vae import sources
from lso_bench.vae.bounds import is_name
from lso_bench.vae.discovery import (
    ambiguous_names,
    call_user_code,
    first_line,
    instantiate,
    is_from_a_path,
    load_entry_point,
    module_at,
    module_named,
    plugin_entry_points,
    require_plugin_class,
    shadowed_names,
    single_subclass,
    whole,
)
from lso_bench.vae.notation import is_file, name_of, parse, path_text, unquoted_path, write
from lso_bench.vae.settings import apply_settings, settings_of

AGAIN = "run the command again."
KINDS: dict[str, tuple[type, str]] = {"task": (Task, "lso_bench.tasks"), "searcher": (Searcher, "lso_bench.searchers")}


_contents: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()  # of classes, when this process loaded them


class _Plugin(NamedTuple):
    """A class of a folder under one of its names."""

    cls: type
    preset: dict[str, Any]  # the settings that the name stands for
    module: str


def names(kind: str) -> dict[str, str]:
    """Every "task" or "searcher" by name, each with the first line of its docstring and its settings."""
    listed = {n: first_line(p.cls) + _settings(p) for n, p in _in_folder(kind)[0].items()}
    faulty = broken_plugins(kind)
    return listed | {n: f"from {e.value}" for n, e in plugin_entry_points(_group(kind)).items() if n not in faulty}


def broken_plugins(kind: str) -> dict[str, str]:
    """What cannot be used, by name, and why: of the folder what is faulty, of entry points whose name is taken."""
    plugins, faulty = _in_folder(kind)
    return shadowed_names(_group(kind), plugins.__contains__) | ambiguous_names(_group(kind)) | faulty


def build(kind: str, text: str) -> Any:
    """The task or searcher that `name` or `name:setting=value,...` or `./file.py` stands for.

    Raises:
        UsageError: no such name or setting, or a file or entry point that holds no such plugin.
        UnusableError: a module beside the file has changed since this process imported it.
    """
    if not is_name(text):
        raise UsageError(
            f"{kind.capitalize()} {text!r}: wanted a name in UTF-8, of one line and without NUL; rename its file."
        )
    try:
        name, settings = parse(text)
        plugin = call_user_code(lambda: apply_settings(_made(kind, name), settings), name)
    except (ValueError, TypeError) as error:
        ours = isinstance(error.__cause__, UsageError)  # says all by itself
        says = str(error.__cause__) if ours else f"{kind.capitalize()} {text!r}: {error}"
        raise UsageError(f"{says} {unquoted_path(text)}".rstrip()) from error
    executed = _content(type(plugin))  # now: the file may be edited while its class is at work
    if is_file(name) and executed != _content_of(Path(name)):
        raise UnusableError(f"{name}, or a module that it imports from beside it, changed while it was loaded; {AGAIN}")
    return plugin


def with_defaults_spelled_out(kind: str, text: str) -> str:
    """The one text of a plugin, for a record: with every setting, so that it does not depend on today's defaults.

    Raises:
        UsageError: as `build`.
    """
    plugin, name = build(kind, text), name_of(text)
    settings = settings_of(plugin)
    if is_file(name):
        return write(path_text(name), settings)
    alike = {n: p.preset for n, p in _in_folder(kind)[0].items() if p.cls is type(plugin)}
    if not _is_so(settings, alike.get(name, {})):  # it says itself that it is another variant
        name = next((n for n, preset in alike.items() if _is_so(settings, preset)), name)
    return write(name, settings)


def source_hash(*texts: str) -> str:
    """sha256 of those of these plugins that are given by path, as they are now; empty where there are none."""
    return _sha256(_content_of(Path(name)) for name in files(*texts))


def files(*texts: str) -> list[str]:
    """The paths of those of these plugins that are given by path."""
    return [name for name in map(name_of, texts) if is_file(name)]


def source_of(*built: object) -> str:
    """As `source_hash`, of plugins that are built: of what was executed."""
    return _sha256(_content(type(plugin)) for plugin in built if is_from_a_path(type(plugin).__module__))


def source_now(*built: object) -> str:
    """As `source_of`, with what these plugins have imported since."""
    modules = (type(plugin).__module__ for plugin in built)
    return _sha256(whole(sys.modules[module]) for module in modules if is_from_a_path(module))


def _sha256(contents: Iterable[bytes]) -> str:
    content = b"".join(contents)
    return hashlib.sha256(content).hexdigest() if content else ""


def code_version(kind: str, text: str) -> dict[str, str]:
    """Which version of a task or searcher this process has, for a record's versions.

    `task_sha256`: of the files that it is (`vae.sources`), 16 hexadecimal digits. Of one that a package publishes also
    `task_package`: the package's name and version.

    Raises:
        UsageError: as `build`.
    """
    return code_version_of(kind, text, build(kind, text))


def code_version_of(kind: str, text: str, plugin: object) -> dict[str, str]:
    """As `origin`, of a plugin that is built already."""
    name = name_of(text)
    entry = None if is_file(name) or name in _in_folder(kind)[0] else plugin_entry_points(_group(kind)).get(name)
    package = f"{entry.dist.name} {entry.dist.version}" if entry and entry.dist else ""
    values = {f"{kind}_sha256": _sha256([_content(type(plugin))])[:16], f"{kind}_package": package}
    return {k: v for k, v in values.items() if v}


def _content_of(file: Path) -> bytes:
    """Of the files that a plugin given by its path is, now; empty where they cannot be read."""
    try:
        return sources.whole(file, sources.read_source(file)) if file.is_file() else b""
    except OSError:
        return b""


def _content(cls: type) -> bytes:
    """Of the files that the module of the class is, when it was first asked for; empty where none can be read.

    Of a plugin of this program the imports of its modules do not count.
    """
    if cls not in _contents:
        ours = cls.__module__.split(".")[0] in sources.PROGRAM
        try:
            content = whole(sys.modules[cls.__module__])
            _contents[cls] = sources.without_imports(content) if ours else content
        except (OSError, KeyError):
            _contents[cls] = b""
    return _contents[cls]


def _is_so(settings: dict[str, Any], preset: dict[str, Any]) -> bool:
    """Whether these settings are those that a name stands for."""
    return all(settings.get(k) == v for k, v in preset.items())


def _made(kind: str, name: str) -> Any:
    """With its defaults."""
    base, _ = KINDS[kind]
    if is_file(name):
        return instantiate(base, single_subclass(base, module_at(Path(name))), name)
    plugins, _ = _in_folder(kind)
    if name in plugins:
        return plugins[name].cls(**plugins[name].preset)
    offered, faulty = plugin_entry_points(_group(kind)), broken_plugins(kind)
    if name in faulty:
        raise ValueError(faulty[name])
    if name in offered:
        return instantiate(base, load_entry_point(offered[name]), offered[name].value)
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
    cls = require_plugin_class(KINDS[kind][0], single_subclass(KINDS[kind][0], module_named(module)), module)
    _content(cls)  # now, as in `build`
    variants, known = getattr(cls, "variants", {}) or {module.rpartition(".")[2]: {}}, {f.name for f in fields(cls)}
    if not (isinstance(variants, dict) and all(isinstance(p, dict) and p.keys() <= known for p in variants.values())):
        raise ValueError(f"{module}: `variants` wants names, each with a dict of settings, got {variants!r}.")
    return {name: _Plugin(cls, preset, module) for name, preset in variants.items()}


def _group(kind: str) -> str:
    return f"lso_bench.{kind}s"


def _settings(plugin: _Plugin) -> str:
    values = settings_of(plugin.cls) | plugin.preset
    return "\n" + ", ".join(f"{k}={v}" for k, v in values.items()) if values else ""
