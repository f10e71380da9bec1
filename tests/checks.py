"""Types and shapes checked while tests run: the first calls of each function, and then one of many.

jaxtyping binds the names of dimensions at each call of a function, which takes ten times as long as the check of its
types. A function without shapes has none to bind: beartype alone checks the same. To check every call as well
takes an eighth to a quarter of the time of a file of short calls.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, config

FIRST_CALLS = 50  # of a function in a process, all of which are checked
LATER_CALLS = 1000  # of which one is checked

_with_shapes = jaxtyping.jaxtyped
_with_types = beartype(conf=BeartypeConf(violation_type=TypeCheckError))  # a TypeError, as by jaxtyping


def install(package: str) -> None:
    """Check every function of a package that is imported from now on."""
    jaxtyping.jaxtyped = _checked  # the decorator that the hook writes before each function
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(function: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    if function is None:
        return partial(_checked, typechecker=typechecker)
    if not inspect.isfunction(function):
        return _with_shapes(function, typechecker=typechecker)
    calls, strict = 0, None

    @wraps(function)
    def call(*arguments: Any, **settings: Any) -> Any:
        nonlocal calls, strict
        calls += 1
        if (calls > FIRST_CALLS and calls % LATER_CALLS) or config.jaxtyping_disable:
            return function(*arguments, **settings)
        if strict is None:  # most functions are never called in a process
            has_shapes = any(map(_may_hold_shapes, function.__annotations__.values()))
            strict = _with_shapes(function, typechecker=typechecker) if has_shapes else _with_types(function)
        return strict(*arguments, **settings)

    return call


def _may_hold_shapes(annotation: Any) -> bool:
    """Tell whether an annotation, or a part of it, is the type of an array, or a text that may name one."""
    if isinstance(annotation, str):
        return True
    is_array = inspect.isclass(annotation) and issubclass(annotation, AbstractArray)
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    return is_array or any(map(_may_hold_shapes, parts))
