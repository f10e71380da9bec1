"""Built-in plugins of one kind: the files of a package, each with one class, under the names that stand for it."""

import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from lso_bench.plugins import code_version
from lso_bench.plugins.discovery import first_line, module_named, require_plugin_class, single_subclass
from lso_bench.plugins.notation import digits
from lso_bench.plugins.settings import settings_of

VALUE = re.compile(r"\\\{(\w+)(:g)?\\\}")  # placeholder of a setting's value in an escaped name
NUMBER = r"(?P<\1>-?\\d+(?:\\.\\d+)?)"  # pattern of that value
FILE_NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a file of a plugin, a name that Python imports
LITERAL = re.compile(r"""["']([\w.{}:-]+)["']""")  # text in a source file that may be a name


class BuiltIn(NamedTuple):
    """Class of the built-in folder under one of its names."""

    cls: type
    preset: dict[str, Any]  # settings that the name stands for
    module: str
    numbers: dict[str, str] = {}  # settings in the name itself

    def description(self, unlisted: Sequence[str]) -> str:
        """Return the first line of the docstring, and a line with the settings that a text can set."""
        values = {k: v for k, v in settings_of(self.cls).items() if k not in unlisted}
        values |= {k: v for k, v in (self.preset | self.numbers).items() if k in values}
        settings = ", ".join(f"{k}={v}" for k, v in values.items())
        return first_line(self.cls) + (f"\n{settings}" if settings else "")


class BuiltIns:
    """Built-in plugins by name.

    The name of a plugin is that of its file, or its class lists names in `variants`, each with the settings that it
    stands for. A name may hold a number: `{"beta_vae_{beta:g}": {}}`; without `:g` it has a decimal point.
    """

    def __init__(self, base: type, package: str):
        """Set up the plugins, subclasses of `base` in the files of `package`; nothing is imported yet."""
        self.base, self.package = base, package

    def find(self, name: str) -> BuiltIn | None:
        """Return the plugin of a name; modules that mention it are imported first, others only if need be."""
        folder = import_module(self.package).__path__
        likely = [m for m in self._modules() if _mentions(Path(folder[0], f"{m.rpartition('.')[2]}.py"), name)]
        return match(self.load(likely)[0], name) or match(self.load()[0], name)

    def load(self, modules: Sequence[str] | None = None) -> tuple[dict[str, BuiltIn], dict[str, str]]:
        """Return the plugins of modules (default: all) by name, and a reason for each faulty file or name."""
        loaded: dict[str, list[BuiltIn]] = {}
        faulty: dict[str, str] = {}
        for module in self._modules() if modules is None else modules:
            try:
                for name, preset in self._variants(module).items():
                    loaded.setdefault(name, []).append(BuiltIn(_class_of(self.base, module), preset, module))
            except ValueError as error:
                faulty[module.rpartition(".")[2]] = " ".join(str(error).split())
        for name, definitions in loaded.items():
            if len(definitions) > 1:
                faulty[name] = f"defined by both {' and '.join(d.module for d in definitions)}; rename one"
        return {name: first for name, (first, *duplicates) in loaded.items() if not duplicates}, faulty

    def spellings(self, plugin: object) -> Iterator[tuple[str, bool]]:
        """Yield the names of a plugin's class, the preferred first, each with whether it stands for its settings."""
        settings = settings_of(plugin)
        for name, built_in in self.load([type(plugin).__module__])[0].items():
            yield _filled(name, settings), all(getattr(plugin, k) == v for k, v in built_in.preset.items())

    def file_of(self, cls: type) -> str:
        """Return the name of the file of a class; empty for a class from elsewhere."""
        package, _, file = cls.__module__.rpartition(".")
        return file if package == self.package else ""

    def class_in(self, file: object) -> type | None:
        """Return the class in the file of that name; None if there is no such file."""
        module = f"{self.package}.{file}"
        return _class_of(self.base, module) if module in self._modules() else None

    def _modules(self) -> list[str]:
        package = import_module(self.package)
        return [f"{self.package}.{file.name}" for file in pkgutil.iter_modules(package.__path__)]

    def _variants(self, module: str) -> dict[str, dict[str, Any]]:
        """Return the settings of each name of a module's plugin.

        Raises:
            ValueError: the file has another kind of name, does not import, has no plugin class or several, or one that
                cannot be built.
        """
        if not FILE_NAME.fullmatch(file := module.rpartition(".")[2]):
            raise ValueError(f"{file}.py: wanted a file name of small letters, digits and _; rename the file.")
        cls = _class_of(self.base, module)
        variants = vars(cls).get("variants") or {module.rpartition(".")[2]: {}}
        known = {f.name for f in fields(cls)}
        presets = variants.values() if isinstance(variants, dict) else [None]
        if not all(isinstance(preset, dict) and preset.keys() <= known for preset in presets):
            raise ValueError(f"{module}: `variants` wants names, each with a dict of settings, got {variants!r}.")
        return variants


def match(built_in: dict[str, BuiltIn], name: str) -> BuiltIn | None:
    """Return the plugin of a name; the numbers in the name are settings."""
    if name in built_in:
        return built_in[name]
    for pattern, plugin in built_in.items():
        if "{" in pattern and (matched := _pattern(pattern).fullmatch(name)):
            return plugin._replace(numbers=matched.groupdict())
    return None


@cache
def _class_of(base: type, module: str) -> Any:
    """Return the plugin class of a built-in module; its source is read when it is imported."""
    cls = require_plugin_class(base, single_subclass(base, module_named(module)), module)
    code_version.content(cls)
    return cls


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(VALUE.sub(NUMBER, re.escape(name)))


def _filled(name: str, settings: dict[str, Any]) -> str:
    """Return a name with the numbers of these settings."""

    def text(placeholder: re.Match[str]) -> str:
        number = digits(float(settings[placeholder[1]]))
        return number if placeholder[2] or "." in number else f"{number}.0"

    return re.sub(r"\{(\w+)(:g)?\}", text, name)


@cache
def _literals(file: Path) -> frozenset[str]:
    """Return the texts in a source file that may be names."""
    return frozenset(LITERAL.findall(file.read_text(errors="replace"))) if file.is_file() else frozenset()


def _mentions(file: Path, name: str) -> bool:
    texts = _literals(file)
    return name in (file.stem, *texts) or any("{" in t and _pattern(t).fullmatch(name) for t in texts)
