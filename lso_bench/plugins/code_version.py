"""Versions of plugins by the content of their files."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakKeyDictionary

from lso_bench.plugins import sources
from lso_bench.plugins.discovery import is_from_a_path, whole
from lso_bench.plugins.notation import is_file, name_of

_contents: WeakKeyDictionary[type, bytes] = WeakKeyDictionary()  # source of classes, when this process loaded them


def source_hash(*texts: str) -> str:
    """Return the sha256 of the present content of those plugins that are given by path; empty if there are none."""
    return _sha256(present_content(Path(name)) for name in files(*texts))


def files(*texts: str) -> list[str]:
    """Return the paths of those plugins that are given by path."""
    return [name for name in map(name_of, texts) if is_file(name)]


def source_of(*built: object) -> str:
    """Return the sha256 of the executed content of built plugins that are given by path; empty if there are none."""
    return _sha256(content(type(plugin)) for plugin in built if is_from_a_path(type(plugin).__module__))


def source_now(*built: object) -> str:
    """Return the sha256 as `source_of` does, including modules that these plugins imported since."""
    modules = (type(plugin).__module__ for plugin in built)
    return _sha256(whole(sys.modules[module]) for module in modules if is_from_a_path(module))


def class_hash(cls: type) -> str:
    """Return the sha256 of `content`; empty if it cannot be read."""
    return _sha256([content(cls)])


def present_content(file: Path) -> bytes:
    """Return the present content of the files of a plugin given by its path; empty if they cannot be read."""
    try:
        return sources.whole(file, sources.read_source(file)) if file.is_file() else b""
    except OSError:
        return b""


def content(cls: type) -> bytes:
    """Return the content of the files of a class's module when first asked for; empty if they cannot be read.

    For a built-in plugin, imports of modules of this program are left out.
    """
    if cls not in _contents:
        is_built_in = cls.__module__.split(".")[0] in sources.PROGRAM
        try:
            loaded = whole(sys.modules[cls.__module__])
            _contents[cls] = sources.without_imports(loaded) if is_built_in else loaded
        except (OSError, KeyError):
            _contents[cls] = b""
    return _contents[cls]


def _sha256(contents: Iterable[bytes]) -> str:
    joined = b"".join(contents)
    return hashlib.sha256(joined).hexdigest() if joined else ""
