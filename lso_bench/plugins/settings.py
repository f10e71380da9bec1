"""Settings of a frozen dataclass, from texts by name and back."""

import math
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from lso_bench.plugins.notation import real, whole

ADDED = "added"  # in the metadata of a field: no pinned text names its default
MOST = 1e5  # default upper limit of a setting: time and memory grow with most of them
T = TypeVar("T")  # a frozen dataclass


READ = {int: whole, float: lambda text: real(text) + 0.0, str: str}  # parsers by type; minus zero becomes zero


def apply_settings(configured: T, settings: Mapping[str, str]) -> T:
    """Return a copy of `configured` with these settings, given as texts; a setting has the type of its default.

    Raises:
        ValueError: a setting does not exist, or its value has another type.
    """
    hints = get_type_hints(type(configured))
    known = settings_of(configured)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known and hasattr(configured, key) and key in hints:
            kind = type(getattr(configured, key)).__name__
            raise ValueError(
                f"{key} of {type(configured).__name__} is a {kind}, which no text gives; wanted a setting that is true "
                "or false, a whole number, a number or a text."
            )
        if key not in known and key not in hints and type(default := getattr(configured, key, None)) in (bool, *READ):
            raise ValueError(
                f"{key} of {type(configured).__name__} is no setting, for it has no type; write "
                f"`{key}: {type(default).__name__} = {default!r}`."
            )
        if key not in known:
            available = f"there are {', '.join(known)}" if known else "it has none"
            raise ValueError(f"{type(configured).__name__} has no setting {key!r}; {available}.")
        values[key] = _value(key, value, getattr(configured, key), hints[key])
    return replace(configured, **values)  # pyright: ignore[reportArgumentType]


def settings_of(configured: object) -> dict[str, bool | int | float | str]:
    """Return the settings of a dataclass that text can express, with their values; of a class, their defaults."""
    listed = sorted(fields(configured), key=lambda f: bool(f.kw_only))  # pyright: ignore[reportArgumentType]
    values: dict[str, Any] = {f.name: getattr(configured, f.name, None) for f in listed}
    return {k: v for k, v in values.items() if type(v) in (bool, int, float, str)}


def added(value: Any, shared: bool = False) -> Any:
    """Return the field of a setting that a plugin with stored results was given later, with this default.

    Pinned texts, and so the keys of runs, leave the setting out at this value, which stays its default. One that is
    `shared`, by all plugins of a kind, is given by its name alone, and not part of the text that Python has for one.
    """
    return field(default=value, metadata={ADDED: True}, kw_only=shared, repr=not shared)


def pinned(configured: Any) -> dict[str, bool | int | float | str]:
    """Return the settings that a pinned text names: all but those that are at the default of `added`."""
    omitted = left_out(configured)
    return {k: v for k, v in settings_of(configured).items() if k not in omitted}


def left_out(configured: Any) -> set[str]:
    """Return the settings that are at the default of `added`; none of an object that is no dataclass."""
    listed = fields(configured) if is_dataclass(configured) else ()
    return {f.name for f in listed if ADDED in f.metadata and getattr(configured, f.name) == f.default}


def differing(configured: object, plain: object) -> dict[str, str]:
    """Return the settings of `configured` that differ from `plain`, as texts that `apply_settings` reads."""
    defaults = settings_of(plain)
    values = {k: v for k, v in settings_of(configured).items() if v != defaults.get(k)}
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in values.items()}


def at_least(configured: object, least: int | float, *settings: str, most: int | float = MOST) -> None:
    """Require numbers from `least` to `most` for these settings.

    Raises:
        ValueError: names the setting and its value.
    """
    for key in settings:
        if not least <= getattr(configured, key) < math.inf:
            raise ValueError(f"{key}: wanted {least:g} or more, got {getattr(configured, key)}")
        _check_most(configured, key, most)


def above(configured: object, limit: int | float, *settings: str, most: int | float = MOST) -> None:
    """Require numbers above `limit` and not above `most` for these settings.

    Raises:
        ValueError: names the setting and its value.
    """
    for key in settings:
        if not limit < getattr(configured, key) < math.inf:
            raise ValueError(f"{key}: wanted more than {limit:g}, got {getattr(configured, key)}")
        _check_most(configured, key, most)


def _check_most(configured: object, key: str, most: int | float) -> None:
    if getattr(configured, key) > most:
        raise ValueError(f"{key}: wanted {most:g} or less, got {getattr(configured, key)}")


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
