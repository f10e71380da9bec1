"""Source files of a plugin: its own file, and the modules that it imports from its folder or package.

A module counts if an import statement anywhere in the file names it and it lies in the plugin's folder, unless Python
finds that name elsewhere first; `mistaken` refuses that, if the code differs. For a plugin in a package, modules of the
package count. Imports of these modules count likewise. Earlier imports do not matter, nor whether the plugin itself
puts its folder on the path.

Imports by a computed name and data files do not count. Modules of this program do not count either: they have a
version.
"""

import ast
import errno
import hashlib
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from weakref import WeakKeyDictionary

from lso_bench.files import safe_read

LARGEST = 4 << 20  # bytes of a Python file
PROGRAM = ("lso_bench",)  # packages that have a version
INSTALLED = ("site-packages", "dist-packages")  # folders of unrelated modules


Read = Callable[[str, Path], bytes]  # (full name of a module, its file) -> its content
_loaded: WeakKeyDictionary[ModuleType, bytes] = WeakKeyDictionary()  # content of modules when they were first read


def now(module: str, file: Path) -> bytes:
    """Return the present content of a module's file.

    Raises:
        OSError: it cannot be read, is not a regular file, or is too large for a source file.
    """
    return read_source(file)


def read_source(file: Path) -> bytes:
    """Return the content of a Python file.

    Raises:
        OSError: as `now`.
    """
    try:
        return safe_read.content(file, LARGEST)
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(file)) from error


def as_loaded(module: str, file: Path) -> bytes:
    """Return the content of a module's file when this process first asked for it after importing the module.

    Raises:
        OSError: the file cannot be read.
    """
    if (imported := sys.modules.get(module)) is None:
        return now(module, file)
    if imported not in _loaded:
        _loaded[imported] = now(module, file)
    return _loaded[imported]


def is_own(module: str, package: str = "") -> bool:
    """Return whether a module is the user's own: neither of this program nor standard nor installed.

    The main module is, whatever program executes the user's code in it: a profiler, pytest, a notebook.

    Args:
        package: a package that counts as the user's, even if it is installed.
    """
    top = module.partition(".")[0]
    if top == "__main__":
        return True
    if top in PROGRAM or top in sys.stdlib_module_names:
        return False
    file = file_of(module) or file_of(top)
    return top == package or file is None or not ({*INSTALLED} & {*file.parts} or _is_recorded(top))


@cache
def _is_recorded(top: str) -> bool:
    """Return whether pip recorded that it installed a top-level module where it lies, as by `pip install --target`."""
    file = file_of(top)
    if file is None:
        return False
    folder = file.parent.parent if file.stem == "__init__" else file.parent
    name = file.relative_to(folder).as_posix()
    try:
        return any(f"{name}," in record.read_text() for record in folder.glob("*.dist-info/RECORD"))
    except (OSError, UnicodeDecodeError):
        return False


def file_of(module: str) -> Path | None:
    """Return the file of a module, imported or not; None if it has none."""
    try:
        place = getattr(sys.modules[module], "__file__", None) if module in sys.modules else _origin(module)
    except Exception:  # a package around it, which is imported, may raise anything
        return None
    return Path(place) if place and Path(place).is_file() else None


def _origin(module: str) -> str | None:
    spec = find_spec(module)
    return spec.origin if spec else None


def nested(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object, then those of the functions and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def digest(path: Path) -> str:
    """Return the sha256 of a plugin's present content, hexadecimal; without imports, that of its file.

    Raises:
        OSError: a file cannot be read.
    """
    return hashlib.sha256(whole(path, read_source(path))).hexdigest()


def whole(path: Path, content: bytes, package: str = "", read: Read = now) -> bytes:
    """Return the content of a plugin's file, then name and sha256 of each file that it imports from its folder.

    Raises:
        OSError: a file cannot be read.
    """
    files = beside(path, content, package, read).items()
    return content + "".join(f"\n{name} {hashlib.sha256(text).hexdigest()}" for name, text in files).encode()


def beside(path: Path, content: bytes, package: str = "", read: Read = now) -> dict[str, bytes]:
    """Return the content of every file that a plugin imports from its folder, by its path relative to the folder.

    Args:
        path: the file of the plugin.
        content: the content of that file.
        package: the package of the file; empty for a file given by its path.
        read: reads the imported files.

    Raises:
        OSError: a file cannot be read.
    """
    folder, contents = path.parent.resolve(), dict[str, bytes]()
    waiting = [*_imports(content, package)]
    while waiting:
        module = waiting.pop()
        file = _file_of_module(module, folder, package)
        if file is None or file == path.resolve() or (name := file.relative_to(folder).as_posix()) in contents:
            continue
        contents[name] = read(module, file)
        waiting += _imports(contents[name], module if file.name == "__init__.py" else module.rpartition(".")[0])
    return dict(sorted(contents.items()))


def without_imports(content: bytes) -> bytes:
    """Return a file of this program without its imports of modules of this program, which may move."""
    tree = ast.parse(content)
    imports = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.stmt) and any(m.split(".")[0] in PROGRAM for m in _imported_names(n, ""))
    ]
    left_out = {line for n in imports for line in range(n.lineno, (n.end_lineno or n.lineno) + 1)}
    return b"".join(line for i, line in enumerate(content.splitlines(keepends=True), 1) if i not in left_out)


def mistaken(path: Path, content: bytes) -> str:
    """Return the reason why Python takes other modules for a plugin than those beside it; empty if it does not.

    Standard modules are taken as they are, and so is a module of the same content. A folder without `__init__.py` is
    often no module, as a folder of data is none.
    """
    folder = path.parent.resolve()
    texts = [content, *beside(path, content).values()]
    names = {name.partition(".")[0] for text in texts for name in _imports(text, "")} - {"", *PROGRAM}
    for top in sorted(names - sys.stdlib_module_names):
        spec = getattr(sys.modules.get(top), "__spec__", None) or _find_spec(top)
        if spec is None or not _exists_in(folder, top):
            continue
        is_taken = _spec_is_in(folder, top, spec)
        if is_taken != _is_imported_from(folder, top):
            return f"it imports {top!r}, of which there are two, beside it and elsewhere; rename the one beside it"
        if not is_taken and _differs(folder, top, spec):
            first = shlex.quote(str(folder))
            return (
                f"it imports {top!r}, and Python took {spec.origin or top}, not the one beside it; rename the one "
                f"beside it, or let PYTHONPATH begin with {first}, if no plugin of another folder has one"
            )
    return ""


def _differs(folder: Path, top: str, spec: ModuleSpec) -> bool:
    """Return whether a module in a folder has other code than what Python took; a folder of no module does not."""
    if (folder / f"{top}.py").is_file():
        origin = Path(spec.origin or "")
        return not (origin.is_file() and read_source(origin) == read_source(folder / f"{top}.py"))
    if not (folder / top / "__init__.py").is_file():
        return False
    homes = [Path(home) for home in spec.submodule_search_locations or ()]
    return not any(_code(home) == _code(folder / top) for home in homes)


def _code(package: Path) -> dict[str, bytes]:
    """Return the content of the files of Python of a package, by their relative paths."""
    return {f.relative_to(package).as_posix(): read_source(f) for f in sorted(package.rglob("*.py"))}


@lru_cache(maxsize=256)
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Return the full names of the modules, or of objects in modules, that a file in a package imports."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes are reported when the file is executed
            tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()  # executing it fails, too
    return tuple(dict.fromkeys(name for node in ast.walk(tree) for name in _imported_names(node, package)))


def _imported_names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield from _with_parents(alias.name)
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: -(node.level - 1) or None] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        if module:
            yield from _with_parents(module)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def _with_parents(module: str) -> Iterator[str]:
    """Yield a module and the packages around it, which are imported with it."""
    names = module.split(".")
    yield from (".".join(names[:end]) for end in range(len(names), 0, -1))


def _file_of_module(module: str, folder: Path, package: str) -> Path | None:
    """Return the file of a module, if it counts."""
    top, *names = module.split(".")
    if top in PROGRAM or folder.name in INSTALLED:
        return None
    if package:
        inside = module == package or module.startswith(f"{package}.")
        names = module.removeprefix(package).split(".")[1:]
    else:
        inside, names = _is_imported_from(folder, top), [top, *names]
    stem = folder.joinpath(*names)
    candidates = (stem / "__init__.py", stem.with_name(f"{stem.name}.py"))
    return next((f for f in candidates if f.is_file()), None) if inside else None


def _is_imported_from(folder: Path, top: str) -> bool:
    """Return whether a module lies in a folder and Python finds none of its name elsewhere first."""
    if not _exists_in(folder, top):
        return False
    spec = _find_spec(top)
    return spec is None or _spec_is_in(folder, top, spec)


def _exists_in(folder: Path, top: str) -> bool:
    return (folder / top).is_dir() or (folder / f"{top}.py").is_file()


def _find_spec(top: str) -> ModuleSpec | None:
    """Return what Python would find if nothing were imported; a standard module as it is."""
    if top in sys.stdlib_module_names:
        return find_spec(top)
    searches = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    return next((spec for search in searches if search and (spec := search(top, None)) is not None), None)


def _spec_is_in(folder: Path, top: str, spec: ModuleSpec) -> bool:
    homes = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.origin else [])]
    return any(Path(home).resolve().parent in (folder, folder / top) for home in homes)
