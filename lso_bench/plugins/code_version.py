"""Versions of plugins by the content of their files."""

import functools
import hashlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from lso_bench.errors import UsageError
from lso_bench.plugins import sources
from lso_bench.plugins.discovery import is_from_a_path, whole
from lso_bench.plugins.notation import is_file, name_of
from lso_bench.plugins.settings import left_out

ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # in the text of an object that has none of its own
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


def object_hash(plugin: object) -> str:
    """Return the sha256 of the source of an object's class, and of what the object holds.

    Of a function that it holds count the source (the byte code, where it was typed at a prompt), the defaults, and the
    values that it takes from around it.

    Raises:
        UsageError: it holds something that has no value to compare.
    """
    held = {k: v for k, v in vars(plugin).items() if k not in left_out(plugin)}
    return hashlib.sha256(repr((_source(type(plugin)), _content(held))).encode()).hexdigest()


def _content(value: Any) -> Any:
    """Return a value with a text that is the same in another process."""
    if isinstance(value, Mapping):
        return sorted((str(k), _content(v)) for k, v in value.items())
    if isinstance(value, list | tuple):
        return [_content(v) for v in value]
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:  # which NumPy lacks
        return "bfloat16", _content(value.float())
    if hasattr(value, "__array__"):  # also a tensor
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
        return str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()
    if isinstance(value, nn.Module):
        return [_content_of_network(part) for part in value.modules()]
    if callable(value):
        return _content_of_callable(value)
    return _text(value)


def _content_of_network(part: nn.Module) -> Any:
    """Return the code, the weights, the buffers and the attributes of one part of a network."""
    tensors = dict(part.named_parameters(recurse=False)) | dict(part.named_buffers(recurse=False))
    attributes = {k: v for k, v in vars(part).items() if k not in vars(nn.Module()) or k == "training"}
    return type(part).__qualname__, _source(type(part)), _content(tensors), _content(attributes)


def _content_of_callable(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return _content([value.func, value.args, value.keywords])
    if inspect.isfunction(value):
        around = [cell.cell_contents for cell in value.__closure__ or ()]
        return _source(value), _content([*around, value.__defaults__, value.__kwdefaults__])
    if inspect.isclass(value) or inspect.isbuiltin(value):
        return value.__module__, value.__qualname__, _source(value)
    return _text(value)


def _text(value: object) -> str:
    if ADDRESS.search(text := repr(value)):
        raise UsageError(
            f"An object with a {type(value).__name__} in it has no value that another process could compare; save its "
            "class in a file, and give the path."
        )
    return text


def _source(defined: Any) -> str:
    try:
        return inspect.getsource(defined)
    except (OSError, TypeError):
        code = getattr(defined, "__code__", None)
        return repr((code.co_code, code.co_consts, code.co_names)) if code else defined.__qualname__


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
