"""The data set that a task or a model names: a relative path in its file is one beside that file."""

import inspect
import os
from pathlib import Path

from lso_bench.plugins.discovery import is_from_a_path
from lso_bench.plugins.notation import read
from lso_bench.vae.datasets import DATASETS


def data_of(plugin) -> str:
    """Return the data set of a task or a frozen model, as the working folder names it.

    A relative path that its class names is taken from beside the class's file, if it exists there. One that the user
    names, as a setting, is taken from the working folder.
    """
    text, cls = plugin.data, type(plugin)
    if not text or text != getattr(cls, "data", "") or not is_from_a_path(cls.__module__):
        return text
    choice = read(text)
    path = Path(inspect.getfile(cls)).absolute().parent / choice.name
    if os.path.isabs(choice.name) or not path.exists() or DATASETS.is_built_in(choice.name):
        return text
    beside = os.path.relpath(path)
    if beside == os.path.normpath(choice.name):  # the file lies in the working folder
        return text
    return str(choice._replace(name=beside if beside.startswith(os.pardir) else os.path.join(os.curdir, beside)))


def is_same_path(first: str, second: str) -> bool:
    """Return whether two data sets are one file or folder, by two spellings of its path, with the same settings."""
    a, b = read(first), read(second)
    if any(DATASETS.is_built_in(choice.name) for choice in (a, b)):
        return False  # a folder beside may have the name of a built-in data set
    try:
        return a.settings == b.settings and os.path.samefile(a.name, b.name)
    except OSError:  # not both are paths
        return False
