"""Types and shapes checked at every call while tests run.

jaxtyping binds the names of dimensions at each call of a function, which takes ten times as long as the check of its
types. A function without shapes has none to bind: beartype alone checks the same.
"""

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError, config

_with_shapes = jaxtyping.jaxtyped
_with_types = beartype(conf=BeartypeConf(violation_type=TypeCheckError))  # a TypeError, as by jaxtyping


def install(package: str) -> None:
    """Check every function of a package that is imported from now on."""
    jaxtyping.jaxtyped = _checked  # the decorator that the hook writes before each function
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(function: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    if function is None:
        return partial(_checked, typechecker=typechecker)
    if not inspect.isfunction(function) or any(map(_may_hold_shapes, function.__annotations__.values())):
        return _with_shapes(function, typechecker=typechecker)
    strict = _with_types(function)

    @wraps(function)
    def call(*arguments: Any, **settings: Any) -> Any:
        return (function if config.jaxtyping_disable else strict)(*arguments, **settings)

    return call


def _may_hold_shapes(annotation: Any) -> bool:
    """Tell whether an annotation, or a part of it, is the type of an array, or a text that may name one."""
    if isinstance(annotation, str):
        return True
    is_array = inspect.isclass(annotation) and issubclass(annotation, AbstractArray)
    parts = annotation if isinstance(annotation, list) else get_args(annotation)
    return is_array or any(map(_may_hold_shapes, parts))
