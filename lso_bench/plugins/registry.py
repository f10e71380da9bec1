"""Registry of the plugins of one kind: files of a built-in folder, entry points of packages, files given by path."""

import os
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from lso_bench.bounds import is_name
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.plugins import code_version
from lso_bench.plugins.discovery import (
    ambiguous_names,
    call_user_code,
    first_line,
    instantiate,
    load_entry_point,
    module_at,
    module_named,
    plugin_entry_points,
    require_plugin_class,
    shadowed_names,
    single_subclass,
    subclasses,
)
from lso_bench.plugins.notation import Choice, digits, is_file, is_object, name_of, parse, path_text, unquoted_path
from lso_bench.plugins.object_version import object_hash
from lso_bench.plugins.settings import apply_settings, differing, pinned, settings_of

T = TypeVar("T")
VALUE = re.compile(r"\\\{(\w+)(:g)?\\\}")  # placeholder of a setting's value in an escaped name
NUMBER = r"(?P<\1>-?\\d+(?:\\.\\d+)?)"  # pattern of that value
UNSHOWN = ("name", "data", "latent")  # settings of objects that results name elsewhere
LONGEST = 40  # characters of a setting of an object that is shown
LITERAL = re.compile(r"""["']([\w.{}:-]+)["']""")  # text in a source file that may be a name


class BuiltIn(NamedTuple):
    """Class of the built-in folder under one of its names."""

    cls: type
    preset: dict[str, Any]  # settings that the name stands for
    module: str
    numbers: dict[str, str] = {}  # settings in the name itself


class Registry(Generic[T]):
    """Plugins of one kind by name.

    A built-in plugin is a file of a folder with one subclass of `base`, a frozen dataclass whose fields are its
    settings. Its name is that of the file, or its class lists names in `variants`, each with the settings that it
    stands for. A name may hold a number: `{"beta_vae_{beta:g}": {}}`; without `:g` it has a decimal point.
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        package: str,
        group: str,
        pinned: bool = False,
        examples: Sequence[str] = (),
        fixed: Mapping[str, str] = MappingProxyType({}),
        from_path: Callable[[Path], T] | None = None,
        endings: tuple[str, ...] = (),
        file_advice: Mapping[str, str] = MappingProxyType({}),
        check: Callable[[T], None] = lambda plugin: None,
        unlisted: Callable[[type[T]], Sequence[str]] = lambda cls: (),
        advice: str = "",
    ):
        """Set up the registry; nothing is imported yet.

        Args:
            kind: word for one such plugin in messages.
            package: package whose files are the built-in plugins.
            group: group of entry points under which other packages publish plugins.
            pinned: whether a canonical text has every setting, so that later defaults do not change it.
            examples: names to list first, also names with a number.
            fixed: fields that no text sets, each with the reason: `it is that of the data`.
            from_path: makes the plugin of a folder, or of a file with one of `endings`, given by its path; None: none
                is.
            file_advice: what to do with a file of another ending, by the ending; by "", with any.
            check: refuses a plugin whose settings do not fit together, by a ValueError.
            unlisted: settings of a class that are not listed, because it refuses them.
            advice: what to do with an object of another class.
        """
        self.kind, self.base, self.package, self.group = kind, base, package, group
        self._pinned, self._examples, self._fixed = pinned, examples, fixed
        self._from_path, self._endings, self._check, self._unlisted = from_path, endings, check, unlisted
        self._advice, self._file_advice = advice, file_advice
        self._objects: dict[str, tuple[T, str, str]] = {}  # plugins of this process alone, with hash and text, by name

    def named(self, plugin: object) -> Any:
        """Return a text or a table as it is, and the name of an object, which this process alone knows then.

        Raises:
            UsageError: it is none of these; or as `add`.
        """
        if isinstance(plugin, str | Mapping):
            return plugin
        if isinstance(plugin, self.base):
            return self.add(plugin)
        name = getattr(plugin, "__name__", type(plugin).__name__)
        is_class = isinstance(plugin, type)
        article = "the class" if is_class else "the function" if hasattr(plugin, "__name__") else "an object of"
        advice = f"write {name}()" if is_class and issubclass(plugin, self.base) else self._advice
        raise UsageError(
            f"{self.kind.capitalize()}: wanted a name, the path of a file, or an object of a subclass of "
            f"lso_bench.{self.base.__name__}, got {article} {name}; {advice}."
        )

    def add(self, plugin: T) -> str:
        """Return a text by which this process alone knows an object: its name or class, 8 digits of its hash, settings.

        Raises:
            UsageError: its name is no name of a plugin.
        """
        label = getattr(plugin, "name", "") or type(plugin).__name__
        if not re.fullmatch(r"[\w.-]+", label):
            raise UsageError(f"The name of a {self.kind} has letters, digits and ._-, not {label!r}.")
        digest = object_hash(plugin)  # once: what it holds may change while it runs
        text = str(Choice(f"{label}@{digest[:8]}", _shown(plugin)))
        self._objects[name_of(text)] = plugin, digest, text
        return text

    def check_unchanged(self, texts: Iterable[str]) -> None:
        """Refuse objects that are others, or use other code or values, than when they were added.

        Raises:
            UsageError: names the object.
        """
        for name in map(name_of, texts):
            if name in self._objects and object_hash(self._objects[name][0]) != self._objects[name][1]:
                raise UsageError(
                    f"{self.kind.capitalize()} {name!r} has changed since the study was made: what it holds, or what "
                    "its methods use. Make the object and the study anew; keep what it remembers out of it, for "
                    "example by functools.cache."
                )

    def build(self, text: str) -> T:
        """Return the plugin of `name`, `name:setting=value,...` or `./file.py`.

        Raises:
            UsageError: the name or setting does not exist, or the file or entry point has no plugin of this kind.
            UnusableError: the file, or a module that it imports, changed since this process imported it.
        """
        return self._build(text)[0]

    def canonical(self, text: str) -> str:
        """Return the canonical text of a plugin, the same for all texts that mean the same.

        Raises:
            UsageError: as `build`.
        """
        configured, plain = self._build(text)
        name = name_of(text)
        if name in self._objects:
            return self._objects[name][2]
        if is_file(name) or self.is_path(name):
            name = path_text(name)
        elif self.is_built_in(name):
            return self._built_in_text(configured, name)
        return str(Choice(name, pinned(configured) if self._pinned else differing(configured, plain)))

    def names(self) -> dict[str, str]:
        """Return the plugins by name, with the first line of their docstring and their settings.

        Of the names with a number only the examples are listed.
        """
        built_in, _ = self._load()
        listed = dict.fromkeys([*self._examples, *(n for n in built_in if "{" not in n)])
        matches = {n: b for n in listed if (b := _match(built_in, n))}
        described = {n: _description(b, [*self._fixed, *self._unlisted(b.cls)]) for n, b in matches.items()}
        return described | {n: f"from {e.value}" for n, e in self.published().items()}

    def faults(self) -> dict[str, str]:
        """Return the names that cannot be used, with the reason: broken files, and entry points whose name is taken."""
        return shadowed_names(self.group, self.is_built_in) | ambiguous_names(self.group) | self._load()[1]

    def published(self) -> dict[str, EntryPoint]:
        """Return the entry points of installed packages by name, without those that cannot be used."""
        return {n: e for n, e in plugin_entry_points(self.group).items() if not self.is_built_in(n)}

    def is_built_in(self, name: str) -> bool:
        """Return whether a name stands for a built-in plugin, which is made without running any other code."""
        return not is_file(name) and self._find(name) is not None

    def defines(self, text: str) -> bool:
        """Return whether a text names a plugin of this kind; a file is executed, to see the classes that it defines.

        Raises:
            UsageError: the file does not exist, or does not import.
        """
        name = name_of(text)
        if not is_file(name):
            return name in self._objects or name in self.published() or self.is_built_in(name)
        try:
            return bool(subclasses(self.base, module_at(Path(name))))
        except ValueError as error:
            raise UsageError(f"{self.kind.capitalize()} {text!r}: {error} {unquoted_path(text)}".rstrip()) from error

    def is_path(self, name: str) -> bool:
        """Return whether a name is the path of a folder, or of a file that is not in Python, that is a plugin."""
        if self._from_path is None or not (os.path.isdir(name) or (self._may_be_file(name) and os.path.exists(name))):
            return False
        return not self.is_built_in(name) and name not in plugin_entry_points(self.group)

    def runs_no_code(self, text: str) -> bool:
        """Return whether a plugin is made without code from outside: it is built-in, a folder, or a file of texts."""
        name = name_of(text)
        return self.is_built_in(name) or self.is_path(name)

    def _may_be_file(self, name: str) -> bool:
        return bool(self._endings) and name.lower().endswith(self._endings)

    def file_of(self, plugin: T) -> str:
        """Return the name of the built-in file of a plugin; empty for a plugin from elsewhere."""
        package, _, file = type(plugin).__module__.rpartition(".")
        return file if package == self.package else ""

    def class_in(self, file: object) -> type[T]:
        """Return the class in the built-in file of that name.

        Raises:
            ValueError: there is no such file.
        """
        if f"{self.package}.{file}" not in self._modules():
            raise ValueError(f"no built-in {self.kind} {file!r}")
        return _class_of(self.base, f"{self.package}.{file}")

    def code_version(self, text: str, plugin: object = None) -> dict[str, str]:
        """Return the version of a plugin that this process uses, for a record's versions.

        `task_sha256` is the hash of its files (`lso_bench.plugins.sources`), 16 hexadecimal digits. A plugin of a
        package also has `task_package`: the package's name and version.

        Args:
            text: name and settings of the plugin.
            plugin: the built plugin; default: it is built.

        Raises:
            UsageError: as `build`.
        """
        name, cls = name_of(text), type(self.build(text) if plugin is None else plugin)
        if name in self._objects:
            return {f"{self.kind}_sha256": self._objects[name][1][:16]}
        entry = None if is_file(name) else self.published().get(name)
        package = f"{entry.dist.name} {entry.dist.version}" if entry and entry.dist else ""
        values = {f"{self.kind}_sha256": code_version.class_hash(cls)[:16], f"{self.kind}_package": package}
        return {k: v for k, v in values.items() if v}

    def _build(self, text: str) -> tuple[T, T]:
        """Return the plugin of a text, and the plugin of its name alone.

        Raises:
            UsageError, UnusableError: as `build`.
        """
        label = f"{self.kind.capitalize()} {text!r}"
        if not is_name(text):
            place = "file or folder" if self._from_path else "file"
            raise UsageError(f"{label}: wanted a name in UTF-8, of one line and without NUL; rename its {place}.")
        try:
            name, settings = parse(text)
            if name in self._objects and text in (name, self._objects[name][2]):
                return self._objects[name][0], self._objects[name][0]
            plain = self._default(name)
            if fixed := [k for k in settings if k in self._fixed]:
                raise ValueError(f"{fixed[0]} is no setting of {self.kind}s: {self._fixed[fixed[0]]}.")
            configured = call_user_code(lambda: apply_settings(plain, settings), name)
            self._check(configured)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{label}: {error} {unquoted_path(text)}".rstrip()) from error
        except UsageError as error:
            raise UsageError(f"{error} {unquoted_path(text)}".rstrip()) from error
        executed = code_version.content(type(configured))  # read now: the file may be edited later
        if is_file(name) and executed != code_version.present_content(Path(name)):
            raise UnusableError(
                f"{name}, or a module that it imports from beside it, changed while it was loaded; run the command "
                "again."
            )
        return configured, plain

    def _default(self, name: str) -> T:
        """Return the plugin of a name or path, with its defaults.

        Raises:
            UsageError: the name does not exist.
            ValueError: it has no plugin of this kind.
        """
        if is_file(name):
            return instantiate(self.base, single_subclass(self.base, module_at(Path(name))), name)
        if built_in := self._find(name):
            make, numbers = partial(built_in.cls, **built_in.preset), built_in.numbers
            return call_user_code(lambda: apply_settings(make(), numbers), name)
        if entry := self.published().get(name):
            return instantiate(self.base, load_entry_point(entry), entry.value)
        if self._from_path and self.is_path(name):
            return self._from_path(Path(name))
        if "/" in name or self._may_be_file(name) or os.path.isfile(name):
            raise ValueError(self._no_path(name))
        faulty = self.faults()
        if name in faulty:
            raise ValueError(faulty[name])
        if is_object(name):
            raise ValueError("an object of Python, which no text names; give the path of a file with its class.")
        left_out = f" Faulty, and left out: {', '.join(faulty)}." if faulty else ""
        raise UsageError(f"{unknown(self.kind, name, [*self.names()])}{left_out}")

    def _no_path(self, name: str) -> str:
        advice = self._file_advice.get(Path(name).suffix.lower(), self._file_advice.get("", ""))
        if not self._from_path:
            return f"wanted a name, or a file of Python (.py) with a {self.kind}, got {name!r}. {advice}".rstrip()
        if os.path.exists(name):
            known = f"wanted a folder, or a file with one of .py, {', '.join(self._endings)}."
            return f"{name!r} has another ending; {known} {advice}".rstrip()
        return f"No file or folder {name!r}."

    def _built_in_text(self, configured: T, name: str) -> str:
        """Return the canonical text of a built-in plugin, which was requested under `name`."""
        names = [*self._spellings(configured)]
        if self._pinned:  # another name only if its settings are not those of `name`
            return str(Choice(name if name in names else next(iter(names), name), pinned(configured)))
        choices = [Choice(n, differing(configured, self._default(n))) for n in names]
        return str(min((c for c in choices if self._means(str(c), configured)), key=lambda c: len(c.settings)))

    def _means(self, text: str, configured: T) -> bool:
        try:
            return self._build(text)[0] == configured
        except UsageError:
            return False

    def _spellings(self, configured: T) -> Iterator[str]:
        """Yield the names that may stand for a built-in plugin, the preferred ones first."""
        settings = settings_of(configured)
        for name, built_in in self._load([type(configured).__module__])[0].items():
            if all(getattr(configured, k) == v for k, v in built_in.preset.items()) or not self._pinned:
                yield _filled(name, settings)

    def _find(self, name: str) -> BuiltIn | None:
        """Return the built-in plugin of a name; modules that mention it are imported first, others only if need be."""
        folder = import_module(self.package).__path__
        likely = [m for m in self._modules() if _mentions(Path(folder[0], f"{m.rpartition('.')[2]}.py"), name)]
        return _match(self._load(likely)[0], name) or _match(self._load()[0], name)

    def _modules(self) -> list[str]:
        package = import_module(self.package)
        return [f"{self.package}.{file.name}" for file in pkgutil.iter_modules(package.__path__)]

    def _load(self, modules: Sequence[str] | None = None) -> tuple[dict[str, BuiltIn], dict[str, str]]:
        """Return the built-in plugins of modules (default: all) by name, and a reason for each faulty file or name."""
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

    def _variants(self, module: str) -> dict[str, dict[str, Any]]:
        """Return the settings of each name of a module's plugin.

        Raises:
            ValueError: the file does not import, has no plugin class or several, or one that cannot be built.
        """
        cls = _class_of(self.base, module)
        variants = vars(cls).get("variants") or {module.rpartition(".")[2]: {}}
        known = {f.name for f in fields(cls)}
        presets = variants.values() if isinstance(variants, dict) else [None]
        if not all(isinstance(preset, dict) and preset.keys() <= known for preset in presets):
            raise ValueError(f"{module}: `variants` wants names, each with a dict of settings, got {variants!r}.")
        return variants


@cache
def _class_of(base: type, module: str) -> Any:
    """Return the plugin class of a built-in module; its source is read when it is imported."""
    cls = require_plugin_class(base, single_subclass(base, module_named(module)), module)
    code_version.content(cls)
    return cls


def _shown(plugin: Any) -> dict[str, Any]:
    """Return the settings of an object that its text names, beside its hash: those that are short."""
    settings = pinned(plugin) if is_dataclass(plugin) else {}
    return {k: v for k, v in settings.items() if k not in UNSHOWN and is_name(str(v)) and len(str(v)) <= LONGEST}


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(VALUE.sub(NUMBER, re.escape(name)))


def _match(built_in: dict[str, BuiltIn], name: str) -> BuiltIn | None:
    """Return the plugin of a name; the numbers in the name are settings."""
    if name in built_in:
        return built_in[name]
    for pattern, plugin in built_in.items():
        if "{" in pattern and (match := _pattern(pattern).fullmatch(name)):
            return plugin._replace(numbers=match.groupdict())
    return None


def _filled(name: str, settings: dict[str, Any]) -> str:
    """Return a name with the numbers of these settings."""

    def text(match: re.Match[str]) -> str:
        number = digits(float(settings[match[1]]))
        return number if match[2] or "." in number else f"{number}.0"

    return re.sub(r"\{(\w+)(:g)?\}", text, name)


@cache
def _literals(file: Path) -> frozenset[str]:
    """Return the texts in a source file that may be names."""
    return frozenset(LITERAL.findall(file.read_text(errors="replace"))) if file.is_file() else frozenset()


def _mentions(file: Path, name: str) -> bool:
    texts = _literals(file)
    return name in (file.stem, *texts) or any("{" in t and _pattern(t).fullmatch(name) for t in texts)


def _description(plugin: BuiltIn, unlisted: Sequence[str]) -> str:
    values = {k: v for k, v in settings_of(plugin.cls).items() if k not in unlisted}
    values |= {k: v for k, v in (plugin.preset | plugin.numbers).items() if k in values}  # only what a text can set
    settings = ", ".join(f"{k}={v}" for k, v in values.items())
    return first_line(plugin.cls) + (f"\n{settings}" if settings else "")
