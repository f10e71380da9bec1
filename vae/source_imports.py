"""Imports from a plugin's folder that read the source and no byte code, which may be of an earlier edit.

Python takes byte code for that of a file of the same size and the same second, which a fast edit or a tool that sets
times gives to another file, too.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ExtensionFileLoader, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

from lso_bench.vae.sources import INSTALLED, PROGRAM

_folders: set[str] = set()  # of plugins


class _FromSource(SourceFileLoader):
    """Compiles a module from its file, whatever byte code lies beside it."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_from_source(folder: Path) -> None:
    """Let this process import from `folder`, and from the packages in it, by their sources alone."""
    real = os.path.realpath(folder)
    if real in _folders:
        return
    _folders.add(real)
    if _hook not in sys.path_hooks:
        sys.path_hooks.insert(0, _hook)
    for entry in [e for e in sys.path_importer_cache if _belongs(e)]:
        del sys.path_importer_cache[entry]  # a finder of byte code, from before


def _hook(entry: str) -> FileFinder:
    if not _belongs(entry):
        raise ImportError(f"no folder of a plugin: {entry}")
    loaders = (ExtensionFileLoader, EXTENSION_SUFFIXES), (_FromSource, SOURCE_SUFFIXES)
    return FileFinder(entry, *loaders)


def _belongs(entry: str) -> bool:
    """Return whether it is a folder of a plugin, or of a package there."""
    real = Path(os.path.realpath(entry or os.curdir))
    if {*INSTALLED, *PROGRAM} & {*real.parts}:
        return str(real) in _folders
    while str(real) not in _folders:
        if not (real / "__init__.py").is_file():
            return False
        real = real.parent
    return True
