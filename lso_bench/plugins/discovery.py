"""Discovery of plugin classes: in a file given by its path, or under an entry point of a package."""

import dis
import hashlib
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar, get_origin

from lso_bench.errors import UnusableError
from lso_bench.plugins import sources
from lso_bench.plugins.containment import contained, reason
from lso_bench.plugins.source_imports import import_from_source

T = TypeVar("T")

FROM_A_PATH = "plugin_file_"  # prefix of the names of modules from a path


def plugin_entry_points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of installed packages in a group, by name; nothing is imported."""
    return {name: entries[0] for name, entries in _candidates(group).items() if len({e.value for e in entries}) == 1}


def ambiguous_names(group: str) -> dict[str, str]:
    """Return the names that several packages publish in a group, each with a message; such a name selects no plugin."""
    values_of = {name: sorted({e.value for e in entries}) for name, entries in _candidates(group).items()}
    return {
        name: f"published by several packages, as {' and '.join(values)}; uninstall all but one"
        for name, values in values_of.items()
        if len(values) > 1
    }


def _candidates(group: str) -> dict[str, list[EntryPoint]]:
    return _candidates_on(group, tuple(map(_state, sys.path)))


@cache
def _candidates_on(group: str, path: tuple[tuple[int, ...], ...]) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a group by name, read anew if an entry of sys.path is another one or has changed."""
    candidates: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        candidates.setdefault(entry.name, []).append(entry)
    return candidates


def _state(folder: str) -> tuple[int, ...]:
    """Return what differs between folders, and in one once it gains or loses a file; nothing if it cannot be read."""
    try:
        state = os.stat(folder or os.curdir)
    except (OSError, ValueError, TypeError):  # whatever stands in sys.path
        return ()
    return state.st_dev, state.st_ino, state.st_mtime_ns


def load_entry_point(entry: EntryPoint) -> object:
    """Return the object that an entry point names.

    Raises:
        ValueError: its package does not import.
    """
    with _importing(entry.value):
        return entry.load()


def module_named(name: str) -> ModuleType:
    """Return the module of an installed package.

    Raises:
        ValueError: it does not import.
    """
    with _importing(name):
        return import_module(name)


class _ContentLoader(SourceFileLoader):
    """Loader that executes the bytes read when it was created, not a later edit and not bytecode."""

    def __init__(self, name: str, path: Path):
        super().__init__(name, str(path))
        self.content = sources.read_source(path)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.content, self.path)


def module_at(path: Path) -> ModuleType:
    """Execute a file anew and return its module.

    Raises:
        ValueError: the file does not exist, or does not import.
    """
    real = os.fsencode(os.path.realpath(path))  # two folders may hold files of one name
    path_hash = hashlib.sha256(real).hexdigest()[:8]
    name = f"{FROM_A_PATH}{path.stem}_{path_hash}"
    if not os.path.exists(path):
        raise ValueError(f"No file {str(path)!r}.")
    try:
        loader = _ContentLoader(name, path)
    except OSError as error:
        raise ValueError(f"Cannot read {str(path)!r}: {error.strerror or error}.") from error
    import_from_source(path.absolute().parent)
    spec = spec_from_file_location(name, path, loader=loader)
    assert spec is not None and spec.loader is not None, "it has a loader"
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        with _importing(str(path)):
            _execute(loader, module, path)
    finally:  # a module from elsewhere may be why it does not import
        if conflict := sources.mistaken(path, loader.content):
            raise ValueError(f"{path}: {conflict}.")
    return module


def _execute(loader: _ContentLoader, module: ModuleType, path: Path) -> None:
    try:
        loader.exec_module(module)
    except ModuleNotFoundError as error:
        top, folder = str(error.name).partition(".")[0], path.absolute().parent
        if (folder / top).is_dir() or (folder / f"{top}.py").is_file():
            error.msg += f", which stands beside it; PYTHONPATH={shlex.quote(str(folder))} lets Python find it"
        raise
    except TypeError as error:
        if "non-frozen dataclass" in str(error):
            raise TypeError(f"{error}; write @dataclass(frozen=True) above the class") from error
        raise


def whole(module: ModuleType) -> bytes:
    """Return the content of a module's files when this process loaded them, as `lso_bench.plugins.sources.whole` does.

    Raises:
        OSError: a file cannot be read.
    """
    path, loader = Path(str(module.__file__)), module.__spec__ and module.__spec__.loader
    if isinstance(loader, _ContentLoader):
        return sources.whole(path, loader.content, read=sources.as_loaded)
    return sources.whole(path, sources.read_source(path), module.__package__ or module.__name__, sources.as_loaded)


def is_from_a_path(module: str) -> bool:
    """Return whether a module of that name came from `module_at`; no other process can import it by name."""
    return module.startswith(FROM_A_PATH)


@contextmanager
def _importing(label: str) -> Iterator[None]:
    """Turn any error of code that is being imported into one ValueError."""
    try:
        with contained():
            yield
    except Exception as error:
        raise ValueError(f"{label} does not import: {reason(error)}") from error


def single_subclass(base: type, module: ModuleType) -> type:
    """Return the one subclass of `base` that a module defines; its base classes in the module do not count.

    Raises:
        ValueError: the module defines none, or several.
    """
    leaves = subclasses(base, module)
    if len(leaves) != 1:
        names = f" ({', '.join(c.__name__ for c in leaves)})" if leaves else ""
        mend = "; give each a file of its own" * bool(leaves)
        raise ValueError(f"{module.__file__}: wanted one subclass of {base.__name__}, got {len(leaves)}{names}{mend}.")
    return leaves[0]


def subclasses(base: type, module: ModuleType) -> list[type]:
    """Return the subclasses of `base` that a module defines, without their base classes in it."""
    defined = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    classes = [c for c in dict.fromkeys(defined) if issubclass(c, base)]
    return [c for c in classes if not any(issubclass(derived, c) for derived in classes if derived is not c)]


def instantiate(base: type, cls: object, label: str) -> Any:
    """Return an instance of a plugin class, with its defaults.

    Raises:
        ValueError: as `require_plugin_class`; or the class refuses its defaults.
    """
    return call_user_code(require_plugin_class(base, cls, label), label)


def call_user_code(make: Callable[[], T], label: str) -> T:
    """Return the result of `make`, which is user code.

    Raises:
        ValueError: `make` raised; its ValueError, TypeError and UnusableError pass unchanged.
    """
    try:
        with contained():
            return make()
    except (ValueError, TypeError, UnusableError):
        raise
    except Exception as error:
        raise ValueError(f"{label}: {reason(error)}") from error


def shadowed_names(group: str, is_built_in: Callable[[str], bool]) -> dict[str, str]:
    """Return the entry points that are hidden by a built-in name, each with a message."""
    return {name: f"{e.value} is hidden by ours" for name, e in plugin_entry_points(group).items() if is_built_in(name)}


def first_line(cls: type) -> str:
    """Return the first line of the docstring of a class."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def _is_decorated(cls: type, base: type) -> bool:
    """Return whether a class is a dataclass by itself, and not only because `base` is one."""
    return any("__dataclass_fields__" in vars(c) for c in cls.__mro__ if issubclass(c, base) and c is not base)


def require_plugin_class(base: type, cls: object, label: str) -> type:
    """Return `cls`, if it can be instantiated.

    Raises:
        ValueError: it is not a dataclass that is a `base`, or is abstract, or has a setting without a default, or a
            name of `base` is misspelt, or a generator never yields.
    """
    if isinstance(cls, type) and issubclass(cls, base) and not _is_decorated(cls, base):
        raise ValueError(f"{label}: wanted a dataclass; write @dataclass(frozen=True) above the class {cls.__name__}.")
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise ValueError(f"{label}: wanted a dataclass that is a subclass of {base.__name__}, got {cls!r}.")
    if abstract := sorted(getattr(cls, "__abstractmethods__", ())):
        raise ValueError(f"{label}: {cls.__name__} is abstract; write its {', '.join(abstract)}.")
    if without_default := [
        f.name for f in fields(cls) if f.init and f.default is MISSING and f.default_factory is MISSING
    ]:
        raise ValueError(f"{label}: {cls.__name__} wants a default for its setting {', '.join(without_default)}.")
    check_spelling(base, cls, label)
    check_generators(base, cls, label)
    return cls


def check_generators(base: type, cls: type, label: str) -> None:
    """Refuse a method without a `yield` that has to be a generator: a call of it gives nothing, or never ends.

    Raises:
        ValueError: names the method.
    """
    for name in sorted(getattr(base, "__abstractmethods__", ())):
        annotation = getattr(getattr(base, name), "__annotations__", {}).get("return")
        if get_origin(annotation) is Generator and _gives_nothing(inspect.unwrap(getattr(cls, name))):
            raise ValueError(f"{label}: {cls.__name__}.{name} never yields; write `scores = yield points` in its loop.")


def _gives_nothing(function: Any) -> bool:
    """Return whether a function is no generator and returns None alone."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_GENERATOR:
        return False
    instructions = [*dis.get_instructions(code)]
    returned = [
        instruction if instruction.opname == "RETURN_CONST" else before
        for before, instruction in pairwise([None, *instructions])
        if instruction and instruction.opname.startswith("RETURN_") and instruction.opname != "RETURN_GENERATOR"
    ]
    return all(i is not None and i.opname in ("LOAD_CONST", "RETURN_CONST") and i.argval is None for i in returned)


def check_spelling(base: type, cls: type, label: str) -> None:
    """Refuse a class with a public name that resembles one of `base` which the class does not define.

    Settings, and names that the methods of the class use, are its own affair.

    Raises:
        ValueError: names both.
    """
    parents = [c for c in cls.__mro__ if c not in base.__mro__ and c.__module__ != base.__module__]
    written = {name: value for c in reversed(parents) for name, value in vars(c).items()}
    used = {f.name for f in fields(cls)} if is_dataclass(cls) else set[str]()
    used |= {n for value in written.values() for code in _codes(value) for n in code.co_names}
    left = [name for name in dir(base) if not name.startswith("_") and name not in written]
    for name in sorted(n for n in written if not n.startswith("_") and n not in used and n not in dir(base)):
        if near := get_close_matches(name.lower(), left, n=1, cutoff=0.8):
            raise ValueError(
                f"{label}: {cls.__name__} defines {name}, which nothing uses, and not {near[0]}; write {near[0]}, or "
                f"give {name} another name, as _{name}."
            )


def _codes(value: object) -> Iterator[CodeType]:
    """Yield the code of a method or property, and that inside it; nothing of anything else."""
    function = next((f for name in ("fget", "func", "__func__") if (f := getattr(value, name, None))), value)
    if code := getattr(function, "__code__", None):
        yield from sources.nested(code)
