"""Imports from a plugin's folder that read the source and not byte code, which may be of an earlier edit.

Python accepts byte code if the file's size and its modification time in seconds match. A fast edit, or a tool that sets
times, can give another file the same size and time.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

from lso_bench.plugins.sources import INSTALLED, PROGRAM

_folders: set[str] = set()  # of plugins


class _SourceLoader(SourceFileLoader):
    """Loader that compiles a module from its file and ignores byte code."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_from_source(folder: Path) -> None:
    """Let this process import modules in `folder`, and in packages there, from their sources alone."""
    real = os.path.realpath(folder)
    if real in _folders:
        return
    _folders.add(real)
    if _path_hook not in sys.path_hooks:
        sys.path_hooks.insert(0, _path_hook)
    for entry in [e for e in sys.path_importer_cache if f"{os.path.realpath(e)}{os.sep}".startswith(real + os.sep)]:
        del sys.path_importer_cache[entry]  # an earlier finder, which reads byte code


def _path_hook(entry: str) -> FileFinder:
    if not _is_plugin_folder(entry):
        raise ImportError(f"no folder of a plugin: {entry}")
    loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES)
    return FileFinder(entry, *loaders)


def _is_plugin_folder(entry: str) -> bool:
    """Return whether a path is a folder of a plugin, or of a package in one."""
    real = Path(os.path.realpath(entry or os.curdir))
    if {*INSTALLED, *PROGRAM} & {*real.parts}:
        return str(real) in _folders
    while str(real) not in _folders:
        if not (real / "__init__.py").is_file():
            return False
        real = real.parent
    return True
