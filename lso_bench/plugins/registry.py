"""Registry of the plugins of one kind: files of a built-in folder, entry points of packages, files given by path."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from lso_bench.bounds import is_name
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.plugins import code_version
from lso_bench.plugins.built_in import BuiltIns, match
from lso_bench.plugins.discovery import (
    ambiguous_names,
    call_user_code,
    check_generators,
    check_spelling,
    instantiate,
    load_entry_point,
    module_at,
    plugin_entry_points,
    shadowed_names,
    single_subclass,
    subclasses,
)
from lso_bench.plugins.notation import Choice, is_file, is_object, name_of, parse, path_text, unquoted_path
from lso_bench.plugins.object_version import object_hash
from lso_bench.plugins.settings import apply_settings, differing, pinned, settings_of

T = TypeVar("T")
UNSHOWN = ("name", "data", "latent")  # settings of objects that results name elsewhere
LONGEST = 40  # characters of a setting of an object that is shown


class Registry(Generic[T]):
    """Plugins of one kind by name.

    A plugin is an object of a subclass of `base`, a frozen dataclass whose fields are its settings.
    The built-in ones are those of `lso_bench.plugins.built_in`.
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
        self.kind, self.base, self.group, self._built_ins = kind, base, group, BuiltIns(base, package)
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
            UsageError: its name is no name of a plugin, its class misspells a name of the base class, or a generator
                never yields.
        """
        try:
            check_spelling(self.base, type(plugin), self.kind.capitalize())
            check_generators(self.base, type(plugin), self.kind.capitalize())
        except ValueError as error:
            raise UsageError(str(error)) from error
        label = getattr(plugin, "name", "") or type(plugin).__name__
        if not re.fullmatch(r"[\w.-]+", label):
            raise UsageError(f"The name of a {self.kind} has letters, digits and ._-, not {label!r}.")
        settings = settings_of(plugin) if is_dataclass(plugin) else {}
        if changed := [k for k in self._fixed if settings.get(k)]:
            reason = f"wanted {changed[0]}=0, got {settings[changed[0]]!r}: {self._fixed[changed[0]]}"
            raise UsageError(f"{self.kind.capitalize()} {label}: {reason}.")
        digest = object_hash(plugin)  # once: what it holds may change while it runs
        text = str(Choice(f"{label}@{digest[:8]}", self._shown(plugin)))
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
        return str(Choice(name, self._named_settings(configured) if self._pinned else differing(configured, plain)))

    def names(self) -> dict[str, str]:
        """Return the plugins by name, with the first line of their docstring and their settings.

        Of the names with a number only the examples are listed.
        """
        built_in, _ = self._built_ins.load()
        listed = dict.fromkeys([*self._examples, *(n for n in built_in if "{" not in n)])
        matches = {n: b for n in listed if (b := match(built_in, n))}
        described = {n: b.description([*self._fixed, *self._unlisted(b.cls)]) for n, b in matches.items()}
        return described | {n: f"from {e.value}" for n, e in self.published().items()}

    def faults(self) -> dict[str, str]:
        """Return the names that cannot be used, with the reason: broken files, and entry points whose name is taken."""
        return shadowed_names(self.group, self.is_built_in) | ambiguous_names(self.group) | self._built_ins.load()[1]

    def published(self) -> dict[str, EntryPoint]:
        """Return the entry points of installed packages by name, without those that cannot be used."""
        return {n: e for n, e in plugin_entry_points(self.group).items() if not self.is_built_in(n)}

    def is_built_in(self, name: str) -> bool:
        """Return whether a name stands for a built-in plugin, which is made without running any other code."""
        return not is_file(name) and self._built_ins.find(name) is not None

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

    def file_of(self, cls: type[T]) -> str:
        """Return the name of the built-in file of a class; empty for a class from elsewhere."""
        return self._built_ins.file_of(cls)

    def class_in(self, file: object) -> type[T]:
        """Return the class in the built-in file of that name.

        Raises:
            ValueError: there is no such file.
        """
        if (cls := self._built_ins.class_in(file)) is None:
            raise ValueError(f"no built-in {self.kind} {file!r}")
        return cls

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
        if built_in := self._built_ins.find(name):
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
        spellings = self._built_ins.spellings(configured)
        names = [n for n, has_settings in spellings if has_settings or not self._pinned]
        if self._pinned:  # another name only if its settings are not those of `name`
            return str(Choice(name if name in names else next(iter(names), name), pinned(configured)))
        choices = [Choice(n, differing(configured, self._default(n))) for n in names]
        return str(min((c for c in choices if self._means(str(c), configured)), key=lambda c: len(c.settings)))

    def _named_settings(self, configured: object) -> dict[str, Any]:
        """Return the settings that a pinned text names."""
        return {k: v for k, v in pinned(configured).items() if k not in self._fixed}

    def _shown(self, plugin: object) -> dict[str, Any]:
        """Return the settings of an object that its text names, beside its hash: those that are short."""
        settings = self._named_settings(plugin) if is_dataclass(plugin) else {}
        return {k: v for k, v in settings.items() if k not in UNSHOWN and is_name(str(v)) and len(str(v)) <= LONGEST}

    def _means(self, text: str, configured: T) -> bool:
        try:
            return self._build(text)[0] == configured
        except UsageError:
            return False
