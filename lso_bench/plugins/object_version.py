"""Version of an object of Python: a hash of what it holds, and of the code and the values that its methods use.

Code counts as this process compiled it, so that a class of a notebook has a version, too. Names that a function takes
from its module are followed, from function to function, class and value, in the user's own modules. Code of installed
packages, of the standard library and of this program counts by its name.
"""

import copyreg
import dis
import functools
import hashlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import resolve_name
from types import CodeType, GetSetDescriptorType, MappingProxyType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lso_bench.errors import UsageError
from lso_bench.plugins import scripted, sources
from lso_bench.plugins.settings import left_out

MOST = 1_000_000  # values that a version follows; an array is one
PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)}
PARTS = {  # attributes that hold what these objects wrap
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    functools.cached_property: ("func",),
    functools.partialmethod: ("func", "args", "keywords"),
    MethodType: ("__func__", "__self__"),
    MemberDescriptorType: ("__name__",),
    GetSetDescriptorType: ("__name__",),
}
UNSEEN = {  # attributes of classes that say nothing beyond the rest, or depend on the process
    *("__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__firstlineno__", "__static_attributes__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__orig_bases__"),
    *("__parameters__", "__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__"),
    "__match_args__",
}
TAKING = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")  # instructions that take a name of the module
OF_NETWORKS = frozenset(vars(nn.Module())) - {"training"}  # attributes that are no values of the user's
HEAP_TYPE = 1 << 9  # flag of a class that was made while Python ran
GENERATED = "__create_fn__."  # beginning of the names of methods that `dataclass` writes


def object_hash(plugin: object) -> str:
    """Return the sha256 of what an object holds, and of the code and the values that its methods use.

    A warning names what is used and cannot be followed. Values of a `functools.cached_property` follow from the rest.

    Raises:
        UsageError: it holds something that has no value to compare, or uses too many values.
    """
    held = {k: v for k, v in vars(plugin).items() if k not in left_out(plugin) and not _is_computed(plugin, k)}
    name, walk = type(plugin).__name__, _Walk(type(plugin).__module__.partition(".")[0])
    try:
        digest = walk.digest([held, type(plugin)])
    except RecursionError as error:
        raise UsageError(
            f"{name} uses more than {MOST:,} values, or some that are nested too deep; hold them in an array, or save "
            "its class in a file and give the path."
        ) from error
    for used, kind in walk.unfollowed.items():
        warnings.warn(
            f"{name} uses {used}, with a {kind} in it, of which no version sees a change: results from before the "
            "change would be taken for new ones.",
            stacklevel=2,
        )
    return digest


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _is_computed(plugin: object, name: str) -> bool:
    return isinstance(getattr(type(plugin), name, None), functools.cached_property)


class _Walk:
    """Digests of values; a value that leads back to itself counts once."""

    def __init__(self, package: str):
        """Set up; `package` is that of the object, whose code is followed even if it is installed."""
        self.unfollowed: dict[str, str] = {}  # by name of a global or of a class: the type that cannot be followed
        self._package, self._name, self._count = package, "", 0
        self._users: dict[str, bool] = {}  # by module: whether it is the user's
        self._open: dict[int, int] = {}  # position of the values that are being followed, by id
        self._done: dict[int, tuple[Any, str]] = {}  # value, which keeps its id, and its digest

    def digest(self, value: Any) -> str:
        """Return a hash of a value that is the same in another process.

        Raises:
            UsageError: it has no value to compare.
            RecursionError: it is nested too deep, or has too many parts.
        """
        self._count += 1
        if self._count > MOST:
            raise RecursionError
        if type(value) in PLAIN:
            return _hashed(type(value).__name__, repr(value))
        key = id(value)
        if key in self._done:
            return self._done[key][1]
        if key in self._open:
            return _hashed("again", str(self._open[key]))
        self._open[key] = len(self._open)
        digest = _hashed(type(value).__qualname__, *self._parts(value))
        del self._open[key]
        self._done[key] = value, digest
        return digest

    def _parts(self, value: Any) -> Iterator[str]:
        """Yield what a value consists of."""
        if type(value) in PARTS:
            return (self.digest(getattr(value, name)) for name in PARTS[type(value)])
        if type(value) in (list, tuple):
            return map(self.digest, value)
        if type(value) in (set, frozenset):
            return iter(sorted(map(self.digest, value)))
        if type(value) in (dict, MappingProxyType):
            return iter(sorted(self.digest(k) + self.digest(v) for k, v in value.items()))
        kinds: dict[Any, Callable[[Any], Iterator[str]]] = {
            Tensor: self._tensor,
            np.ndarray: self._array,
            nn.Module: self._network,
            type: self._class,
            CodeType: self._code,
            ModuleType: lambda module: iter([module.__name__]),
        }
        kind = next((parts for kind, parts in kinds.items() if isinstance(value, kind)), self._instance)
        return (self._function if inspect.isfunction(value) else kind)(value)

    def _tensor(self, value: Tensor) -> Iterator[str]:
        dense = value.detach().cpu().to_dense() if value.layout != torch.strided else value.detach().cpu()
        yield from (str(dense.dtype), str(tuple(dense.shape)))
        yield hashlib.sha256(dense.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()

    def _array(self, value: np.ndarray) -> Iterator[str]:
        yield from (repr(value.dtype), str(value.shape))
        yield self.digest(value.tolist()) if value.dtype.hasobject else hashlib.sha256(value.tobytes()).hexdigest()

    def _network(self, network: nn.Module) -> Iterator[str]:
        """Yield the code, the weights, the buffers and the attributes of the parts of a network."""
        seen: set[nn.Module] = set()
        for name, part in network.named_modules(seen):
            if isinstance(part, torch.jit.ScriptModule):
                seen.update(part.modules())  # they are in its content
                yield self.digest([name, *scripted.content(part)])
                continue
            tensors = dict(part.named_parameters(recurse=False)) | dict(part.named_buffers(recurse=False))
            attributes = {k: v for k, v in vars(part).items() if k not in OF_NETWORKS}
            hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
            yield self.digest([name, type(part), tensors, attributes, hooks])

    def _class(self, cls: type) -> Iterator[str]:
        yield cls.__qualname__
        if not self._is_own(cls.__module__) and not self._is_assembled(cls):
            yield cls.__module__
            return
        yield from map(self.digest, (type(cls), *cls.__bases__))
        for name, value in sorted(vars(cls).items()):
            if name not in UNSEEN and not _is_generated(value):
                with self._inside(f"{cls.__name__}.{name}"):
                    yield name + self.digest(value)

    def _is_assembled(self, cls: type) -> bool:
        """Return whether the user assembled a class by a call, as of `type` or `make_dataclass`.

        Its module is then that of the function or the metaclass that was called, in which no name leads to the class.
        """
        known: Any = sys.modules.get(cls.__module__)
        for name in cls.__qualname__.split("."):
            known = getattr(known, name, None)
        if known is cls or not cls.__flags__ & HEAP_TYPE:
            return False
        scopes = (value.__globals__ for value in vars(cls).values() if inspect.isfunction(value))
        is_standard = cls.__module__.partition(".")[0] in sys.stdlib_module_names
        return is_standard or any(self._is_own(str(scope.get("__name__", ""))) for scope in scopes)

    def _function(self, function: Any) -> Iterator[str]:
        if self._is_own(function.__globals__.get("__name__", "")):
            yield self.digest(function.__code__)
            yield from self._globals(function.__code__, function.__globals__)
        else:
            yield from (str(function.__module__), function.__qualname__)
        around = [*map(_content, function.__closure__ or ()), function.__defaults__, function.__kwdefaults__]
        yield self.digest([*around, vars(function)])

    def _code(self, code: CodeType) -> Iterator[str]:
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        yield repr((code.co_code, code.co_exceptiontable, counts, names))
        yield from map(self.digest, code.co_consts)

    def _globals(self, code: CodeType, scope: dict[str, Any]) -> Iterator[str]:
        """Yield what a function and those inside it take from their module, and the modules that they import."""
        parts = [*sources.nested(code)]
        steps = [[i for i in dis.get_instructions(part) if i.opname != "EXTENDED_ARG"] for part in parts]
        names = {i.argval for listed in steps for i in listed if i.opname in TAKING}
        attributes = {name for part in parts for name in part.co_names}
        for name in sorted(names & scope.keys()):
            with self._inside(name):
                yield name + self._used(scope[name], attributes)
        for module in sorted({m for listed in steps for m in _imported(listed, str(scope.get("__package__") or ""))}):
            yield module + self._file(module)

    def _used(self, value: Any, attributes: set[str]) -> str:
        """Return the digest of a global; of the user's own module, that of what may be used of it."""
        if not isinstance(value, ModuleType) or not self._is_own(value.__name__) or id(value) in self._open:
            return self.digest(value)
        self._open[id(value)] = len(self._open)
        listed = sorted(attributes & vars(value).keys())
        digest = _hashed(*(name + self._used(vars(value)[name], attributes) for name in listed))
        del self._open[id(value)]
        return digest

    def _file(self, module: str) -> str:
        """Return the hash of the file of the user's own module that a function imports, and of those beside it."""
        file = sources.file_of(module)
        if file is None or not self._is_own(module):
            return ""
        try:
            content = sources.as_loaded(module, file)
            return hashlib.sha256(
                sources.whole(file, content, module.rpartition(".")[0], sources.as_loaded)
            ).hexdigest()
        except OSError:
            return ""

    def _instance(self, value: Any) -> Iterator[str]:
        """Yield what `pickle` would write of any other object."""
        if "__wrapped__" in getattr(value, "__dict__", {}):  # a decorated function, such as one with a cache
            yield self.digest(value.__wrapped__)
            return
        if _is_named(value) and not self._is_own(str(value.__module__)):
            yield from (str(value.__module__), value.__name__)
            return
        try:
            write: Any = copyreg.dispatch_table.get(type(value))
            reduced: Any = write(value) if write else value.__reduce_ex__(4)
        except RecursionError:
            raise
        except Exception:  # classes say in many ways that they cannot be written
            reduced = self._unfollowed(value)
        steps = (reduced,) if isinstance(reduced, str) else reduced  # two of which may be iterators
        yield from (self.digest([*step] if i in (3, 4) and step else step) for i, step in enumerate(steps))

    def _unfollowed(self, value: Any) -> str:
        """Note the type of what has no value to compare.

        Raises:
            UsageError: the object holds it, and no name leads to it.
        """
        if not self._name:
            raise UsageError(
                f"An object with a {type(value).__name__} in it has no value that another process could compare; save "
                "its class in a file, and give the path."
            )
        self.unfollowed.setdefault(self._name, type(value).__name__)
        return type(value).__qualname__

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        before, self._name = self._name, name
        yield
        self._name = before

    def _is_own(self, module: str) -> bool:
        if module not in self._users:
            self._users[module] = sources.is_own(module, self._package)
        return self._users[module]


def _content(cell: Any) -> Any:
    """Return what a variable of a function around holds; an empty text if it has no value yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return ""


def _is_generated(value: Any) -> bool:
    code = getattr(inspect.unwrap(value) if callable(value) else value, "__code__", None)
    return code is not None and code.co_qualname.startswith(GENERATED)


def _is_named(value: Any) -> bool:
    """Return whether a value is a function of compiled code."""
    named = (getattr(value, name, None) for name in ("__name__", "__module__"))
    return callable(value) and all(isinstance(name, str) for name in named)


def _imported(steps: list[dis.Instruction], package: str) -> Iterator[str]:
    """Yield the full names of the modules that these steps import."""
    for level, step in zip(steps, steps[2:], strict=False):
        if step.opname == "IMPORT_NAME":
            yield resolve_name("." * level.argval + step.argval, package) if level.argval else step.argval
