"""Find classes that others wrote: in a file given by its path, or published by a package as an entry point."""

import inspect
import sys
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def published(group: str) -> dict[str, EntryPoint]:
    """What installed packages offer under an entry-point group, by name; nothing is imported."""
    return {e.name: e for e in entry_points(group=group)}


def loaded(entry: EntryPoint) -> type:
    """The class that an entry point names.

    Raises:
        ValueError: its package does not import.
    """
    try:
        return entry.load()
    except Exception as error:  # whatever another package raises
        raise ValueError(f"{entry.value} does not import: {type(error).__name__}: {error}") from error


def module_at(path: Path) -> ModuleType:
    """The module of a file, executed anew.

    Raises:
        ValueError: no such file, or it does not import.
    """
    spec = spec_from_file_location(f"plugin_file_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ValueError(f"No file {str(path)!r}.")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's file raises
        raise ValueError(f"{path} does not import: {type(error).__name__}: {error}") from error
    return module


def only_class(base: type, module: ModuleType) -> type:
    """The one subclass of `base` that a module defines.

    Raises:
        ValueError: it defines none, or several.
    """
    own = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
    found = [c for c in own if issubclass(c, base)]
    if len(found) != 1:
        raise ValueError(f"{module.__file__}: wanted one subclass of {base.__name__}, got {len(found)}.")
    return found[0]
