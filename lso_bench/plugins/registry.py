"""Tasks and searchers by name: a file in the built-in folder, an entry point, or a path given by the user."""

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

from lso_bench.bounds import is_name
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.plugins import sources
from lso_bench.plugins.discovery import (
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
from lso_bench.plugins.notation import is_file, name_of, parse, path_text, unquoted_path, write
from lso_bench.plugins.settings import apply_settings, settings_of
from lso_bench.search import Searcher
from lso_bench.task import Task

AGAIN = "run the command again."
KINDS: dict[str, tuple[type, str]] = {"task": (Task, "lso_bench.tasks"), "searcher": (Searcher, "lso_bench.searchers")}


_contents: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()  # source of classes, when this process loaded them


class _Plugin(NamedTuple):
    """Class of the built-in folder under one of its names."""

    cls: type
    preset: dict[str, Any]  # the settings that the name stands for
    module: str


def names(kind: str) -> dict[str, str]:
    """Return every task or searcher by name, with the first line of its docstring and its settings."""
    descriptions = {n: first_line(p.cls) + _settings(p) for n, p in _in_folder(kind)[0].items()}
    faulty = broken_plugins(kind)
    return descriptions | {
        n: f"from {e.value}" for n, e in plugin_entry_points(_group(kind)).items() if n not in faulty
    }


def broken_plugins(kind: str) -> dict[str, str]:
    """Return the names that cannot be used, with the reason: faulty files, and entry points whose name is taken."""
    plugins, faulty = _in_folder(kind)
    return shadowed_names(_group(kind), plugins.__contains__) | ambiguous_names(_group(kind)) | faulty


def build(kind: str, text: str) -> Any:
    """Return the task or searcher of `name`, `name:setting=value,...` or `./file.py`.

    Raises:
        UsageError: the name or setting does not exist, or the file or entry point has no plugin of this kind.
        UnusableError: the file, or a module that it imports, changed since this process imported it.
    """
    if not is_name(text):
        raise UsageError(
            f"{kind.capitalize()} {text!r}: wanted a name in UTF-8, of one line and without NUL; rename its file."
        )
    try:
        name, settings = parse(text)
        plugin = call_user_code(lambda: apply_settings(_instantiate(kind, name), settings), name)
    except (ValueError, TypeError) as error:
        is_complete = isinstance(error.__cause__, UsageError)  # its message is complete
        message = str(error.__cause__) if is_complete else f"{kind.capitalize()} {text!r}: {error}"
        raise UsageError(f"{message} {unquoted_path(text)}".rstrip()) from error
    executed = _content(type(plugin))  # read now: the file may be edited later
    if is_file(name) and executed != _content_of(Path(name)):
        raise UnusableError(f"{name}, or a module that it imports from beside it, changed while it was loaded; {AGAIN}")
    return plugin


def with_defaults_spelled_out(kind: str, text: str) -> str:
    """Return the canonical text of a plugin, for a record, with every setting: later defaults do not change it.

    Raises:
        UsageError: as `build`.
    """
    plugin, name = build(kind, text), name_of(text)
    settings = settings_of(plugin)
    if is_file(name):
        return write(path_text(name), settings)
    presets = {n: p.preset for n, p in _in_folder(kind)[0].items() if p.cls is type(plugin)}
    if not _matches_preset(settings, presets.get(name, {})):  # its settings are those of another variant
        name = next((n for n, preset in presets.items() if _matches_preset(settings, preset)), name)
    return write(name, settings)


def source_hash(*texts: str) -> str:
    """Return the sha256 of the present content of those plugins that are given by path; empty if there are none."""
    return _sha256(_content_of(Path(name)) for name in files(*texts))


def files(*texts: str) -> list[str]:
    """Return the paths of those plugins that are given by path."""
    return [name for name in map(name_of, texts) if is_file(name)]


def source_of(*built: object) -> str:
    """Return the sha256 of the executed content of built plugins that are given by path; empty if there are none."""
    return _sha256(_content(type(plugin)) for plugin in built if is_from_a_path(type(plugin).__module__))


def source_now(*built: object) -> str:
    """Return the sha256 as `source_of` does, including modules that these plugins imported since."""
    modules = (type(plugin).__module__ for plugin in built)
    return _sha256(whole(sys.modules[module]) for module in modules if is_from_a_path(module))


def _sha256(contents: Iterable[bytes]) -> str:
    content = b"".join(contents)
    return hashlib.sha256(content).hexdigest() if content else ""


def code_version(kind: str, text: str) -> dict[str, str]:
    """Return the version of a task or searcher that this process uses, for a record's versions.

    `task_sha256` is the hash of its files (`lso_bench.plugins.sources`), 16 hexadecimal digits. A plugin of a package
    also has `task_package`: the package's name and version.

    Raises:
        UsageError: as `build`.
    """
    return code_version_of(kind, text, build(kind, text))


def code_version_of(kind: str, text: str, plugin: object) -> dict[str, str]:
    """Return the version as `code_version` does, of a built plugin."""
    name = name_of(text)
    entry = None if is_file(name) or name in _in_folder(kind)[0] else plugin_entry_points(_group(kind)).get(name)
    package = f"{entry.dist.name} {entry.dist.version}" if entry and entry.dist else ""
    values = {f"{kind}_sha256": _sha256([_content(type(plugin))])[:16], f"{kind}_package": package}
    return {k: v for k, v in values.items() if v}


def _content_of(file: Path) -> bytes:
    """Return the present content of the files of a plugin given by its path; empty if they cannot be read."""
    try:
        return sources.whole(file, sources.read_source(file)) if file.is_file() else b""
    except OSError:
        return b""


def _content(cls: type) -> bytes:
    """Return the content of the files of a class's module when first asked for; empty if they cannot be read.

    For a built-in plugin, imports of modules of this program are left out.
    """
    if cls not in _contents:
        is_built_in = cls.__module__.split(".")[0] in sources.PROGRAM
        try:
            content = whole(sys.modules[cls.__module__])
            _contents[cls] = sources.without_imports(content) if is_built_in else content
        except (OSError, KeyError):
            _contents[cls] = b""
    return _contents[cls]


def _matches_preset(settings: dict[str, Any], preset: dict[str, Any]) -> bool:
    """Return whether settings match those that a name stands for."""
    return all(settings.get(k) == v for k, v in preset.items())


def _instantiate(kind: str, name: str) -> Any:
    """Return the plugin of a name or path, with its defaults."""
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
    """Return the plugins in the files of the built-in folder by name, and a reason for each that is faulty."""
    package = import_module(KINDS[kind][1])
    plugins: dict[str, list[_Plugin]] = {}
    faulty: dict[str, str] = {}
    for file in pkgutil.iter_modules(package.__path__):
        try:
            for name, plugin in _variants(kind, f"{package.__name__}.{file.name}").items():
                plugins.setdefault(name, []).append(plugin)
        except ValueError as error:
            faulty[file.name] = " ".join(str(error).split())
    for name, definitions in plugins.items():
        if len(definitions) > 1:
            faulty[name] = f"defined by both {' and '.join(p.module for p in definitions)}; rename one"
    return {name: p for name, (p, *duplicates) in plugins.items() if not duplicates}, faulty


def _variants(kind: str, module: str) -> dict[str, _Plugin]:
    """Return the plugins of one file by name.

    Raises:
        ValueError: the file does not import, has no plugin class or several, or one that cannot be built.
    """
    cls = require_plugin_class(KINDS[kind][0], single_subclass(KINDS[kind][0], module_named(module)), module)
    _content(cls)  # read now, as in `build`
    variants, setting_names = (
        getattr(cls, "variants", {}) or {module.rpartition(".")[2]: {}},
        {f.name for f in fields(cls)},
    )
    if not (
        isinstance(variants, dict) and all(isinstance(p, dict) and p.keys() <= setting_names for p in variants.values())
    ):
        raise ValueError(f"{module}: `variants` wants names, each with a dict of settings, got {variants!r}.")
    return {name: _Plugin(cls, preset, module) for name, preset in variants.items()}


def _group(kind: str) -> str:
    return f"lso_bench.{kind}s"


def _settings(plugin: _Plugin) -> str:
    values = settings_of(plugin.cls) | plugin.preset
    return "\n" + ", ".join(f"{k}={v}" for k, v in values.items()) if values else ""
