"""Settings of a frozen dataclass from texts by name, and to them."""

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from lso_bench.vae.notation import real, whole

MOST = 1e5  # of a setting that says no other limit: time and memory grow with most of them
T = TypeVar("T")  # a frozen dataclass


READ = {int: whole, float: lambda text: real(text) + 0.0, str: str}  # a setting, by its type; no minus zero


def apply_settings(made: T, settings: Mapping[str, str]) -> T:
    """`made` with these settings, given as texts; a setting's type is that of its default.

    Raises:
        ValueError: a setting that it does not have, or a value of another type.
    """
    hints = get_type_hints(type(made))
    known = settings_of(made)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            there = f"there are {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{type(made).__name__} has no setting {key!r}; {there}.")
        values[key] = _value(key, value, getattr(made, key), hints[key])
    return replace(made, **values)  # pyright: ignore[reportArgumentType]


def settings_of(made: object) -> dict[str, bool | int | float | str]:
    """The settings of a dataclass that text can give, and their values; of a class, their defaults."""
    given: dict[str, Any] = {f.name: getattr(made, f.name, None) for f in fields(made)}  # pyright: ignore[reportArgumentType]
    return {k: v for k, v in given.items() if type(v) in (bool, int, float, str)}


def differing(made: object, plain: object) -> dict[str, str]:
    """The settings of `made` that are not as in `plain`, as texts that `with_settings` reads."""
    usual = settings_of(plain)
    values = {k: v for k, v in settings_of(made).items() if v != usual.get(k)}
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()}


def at_least(made: object, least: int | float, *settings: str, most: int | float = MOST) -> None:
    """Refuse values of these settings below `least` or above `most`, and such as are no numbers.

    Raises:
        ValueError: names the setting, and what came.
    """
    for key in settings:
        if not least <= getattr(made, key) < math.inf:
            raise ValueError(f"{key}: wanted {least:g} or more, got {getattr(made, key)}")
        _check_most(made, key, most)


def above(made: object, limit: int | float, *settings: str, most: int | float = MOST) -> None:
    """Refuse values of these settings that are not above `limit` or are above `most`, and such as are no numbers.

    Raises:
        ValueError: names the setting, and what came.
    """
    for key in settings:
        if not limit < getattr(made, key) < math.inf:
            raise ValueError(f"{key}: wanted more than {limit:g}, got {getattr(made, key)}")
        _check_most(made, key, most)


def _check_most(made: object, key: str, most: int | float) -> None:
    if getattr(made, key) > most:
        raise ValueError(f"{key}: wanted {most:g} or less, got {getattr(made, key)}")


def _value(key: str, text: str, default: object, hint: object) -> object:
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if choices and text not in choices:
        raise ValueError(f"{key} is one of {', '.join(map(repr, choices))}, not {text!r}.")
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text.lower()]
        return READ[type(default)](text)
    except KeyError as error:
        raise ValueError(f"{key}: wanted true or false, got {text!r}.") from error
    except ValueError as error:
        raise ValueError(f"{key}: {error}.") from error
