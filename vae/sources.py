"""The files that a plugin is: its own, and the modules that it imports from beside it.

A module counts if an import statement names it, at whatever place of the file, and it stands in the plugin's folder
while Python finds none of that name elsewhere first, or, of a plugin in a package, in its package; likewise what that
module imports. What was imported before does not matter, nor whether the plugin itself lets Python find its folder.
What is imported by a computed name and what is read as data does not count, nor do the modules of this program, which
have a version.
"""

import ast
import errno
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from weakref import WeakKeyDictionary

from lso_bench.vae import foreign

LARGEST = 4 << 20  # bytes of a file of Python
PROGRAM = ("lso_bench",)  # what has a version of its own
INSTALLED = ("site-packages", "dist-packages")  # folders in which nothing belongs together


Read = Callable[[str, Path], bytes]  # the content of a module, given its full name and its file
_loaded: WeakKeyDictionary[ModuleType, bytes] = WeakKeyDictionary()  # the content of modules when they were first seen


def now(module: str, file: Path) -> bytes:
    """Return what is in the file of a module.

    Raises:
        OSError: it cannot be read, or is no plain file, or too large for one that somebody wrote.
    """
    return read_source(file)


def read_source(file: Path) -> bytes:
    """Return what is in a file of Python.

    Raises:
        OSError: as `now`.
    """
    try:
        return foreign.content(file, LARGEST)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(file)) from error


def as_loaded(module: str, file: Path) -> bytes:
    """Return what was in the file of a module when this process was first asked for it after importing the module.

    Raises:
        OSError: the file cannot be read.
    """
    if (imported := sys.modules.get(module)) is None:
        return now(module, file)
    if imported not in _loaded:
        _loaded[imported] = now(module, file)
    return _loaded[imported]


def digest(path: Path) -> str:
    """Return the sha256 of a plugin as it is now, hexadecimal; if it imports nothing from beside it, of its file.

    Raises:
        OSError: a file cannot be read.
    """
    return hashlib.sha256(whole(path, read_source(path))).hexdigest()


def whole(path: Path, content: bytes, package: str = "", read: Read = now) -> bytes:
    """Return the content of a plugin's file, then name and sha256 of each file that it imports from beside it.

    Raises:
        OSError: a file cannot be read.
    """
    files = beside(path, content, package, read).items()
    return content + "".join(f"\n{name} {hashlib.sha256(text).hexdigest()}" for name, text in files).encode()


def beside(path: Path, content: bytes, package: str = "", read: Read = now) -> dict[str, bytes]:
    """Return the content of every file that a plugin imports from beside it, by its path from the plugin's folder.

    Args:
        path: the file of the plugin, and its content.
        package: the name of the package that the file lies in; empty for a file that was given by its path.
        read: which content of the other files.

    Raises:
        OSError: a file cannot be read.
    """
    folder, contents = path.parent.resolve(), dict[str, bytes]()
    waiting = [*_imports(content, package)]
    while waiting:
        module = waiting.pop()
        file = _file(module, folder, package)
        if file is None or file == path.resolve() or (name := file.relative_to(folder).as_posix()) in contents:
            continue
        contents[name] = read(module, file)
        waiting += _imports(contents[name], module if file.name == "__init__.py" else module.rpartition(".")[0])
    return dict(sorted(contents.items()))


def without_imports(content: bytes) -> bytes:
    """Return a file of this program without the lines that import modules of this program, which may move."""
    tree = ast.parse(content)
    imports = [n for n in ast.walk(tree) if any(m.split(".")[0] in PROGRAM for m in _named(n, ""))]
    left_out = {line for n in imports for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)}
    return b"".join(line for i, line in enumerate(content.splitlines(keepends=True), 1) if i not in left_out)


def mistaken(path: Path, content: bytes) -> str:
    """Return why what this process imported for a plugin is not what counts, in words; empty where it is.

    Two modules of one name are at hand, and which of them is imported depends on what was imported before.
    """
    folder = path.parent.resolve()
    for top in {name.partition(".")[0] for name in _imports(content, "")} - {*PROGRAM}:
        spec = getattr(sys.modules.get(top), "__spec__", None)
        if spec is not None and _stands(folder, top) and _is_in(folder, top, spec) != _from(folder, top):
            return f"it imports {top!r}, of which there are two, beside it and elsewhere; rename the one beside it"
    return ""


@lru_cache(maxsize=256)
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Return the full names of the modules, or things in modules, that a file in a package imports."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes; whoever executes it hears of them
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # it cannot be executed either
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _named(node, package)))


def _named(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _upwards(alias.name)
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: -(node.level - 1) or None] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        if module:
            yield from _upwards(module)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _upwards(module: str) -> Iterator[str]:
    """Yield a module and the packages around it, which are imported with it."""
    names = module.split(".")
    yield from (".".join(names[:end]) for end in range(len(names), 0, -1))


def _file(module: str, folder: Path, package: str) -> Path | None:
    """Return the file of a module, if it counts."""
    top, *names = module.split(".")
    if top in PROGRAM or folder.name in INSTALLED:
        return None
    if package:
        inside = module == package or module.startswith(f"{package}.")
        names = module.removeprefix(package).split(".")[1:]
    else:
        inside, names = _from(folder, top), [top, *names]
    place = folder.joinpath(*names)
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((f for f in candidates if f.is_file()), None) if inside else None


def _from(folder: Path, top: str) -> bool:
    """Whether a module is taken from a folder: it stands there, and Python finds none elsewhere first."""
    if not _stands(folder, top):
        return False
    spec = _search(top)
    return spec is None or _is_in(folder, top, spec)


def _stands(folder: Path, top: str) -> bool:
    return (folder / top).is_dir() or (folder / f"{top}.py").is_file()


def _search(top: str) -> ModuleSpec | None:
    """What Python finds anew, whatever this process has imported; of the standard library, what it has."""
    if top in sys.stdlib_module_names:
        return find_spec(top)
    searches = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return next((spec for search in searches if search and (spec := search(top, None)) is not None), None)


def _is_in(folder: Path, top: str, spec: ModuleSpec) -> bool:
    homes = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    return any(Path(home).resolve().parent in (folder, folder / top) for home in homes)
