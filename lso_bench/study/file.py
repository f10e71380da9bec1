"""Study file: the grid of models, tasks, searchers and seeds, and the protocol of every run, in TOML.

A table `[[exclude]]` leaves runs out, and `[[override]]` changes the protocol of some runs:

    [[override]]
    searcher = "bo"  # which runs: model, task, searcher, region, seed, search_seed, train_seed
    budget = 100     # what changes: any setting of the protocol

A rule may also be a text as on the command line: `override = ["searcher=bo budget=100"]`.
"""

import codecs
import math
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from lso_bench.bounds import LATENT, SEED, is_number, is_whole
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.files import safe_read
from lso_bench.plugins.notation import Choice, seeds, with_home_folder, words
from lso_bench.run_settings import RUN_SETTINGS, Setting
from lso_bench.study.grid import Grid, Protocol
from lso_bench.study.overrides import NAMED, NUMBERED, Rule

LARGEST_FILE = 1 << 20  # bytes of a study file
Check = Callable[[Any], Any]  # convert a value to a setting; a ValueError says what was expected


def read(path: Path) -> tuple[Grid, Protocol]:
    """Read the grid and protocol from a file whose settings are the fields of `Grid` and `Protocol`.

    A model, task or searcher is a text as on the command line (`"ink:target=0.3"`), or a table with its name and
    settings (`{name = "ink", target = 0.3}`), where TOML's quotes are enough for any name and value.

    Raises:
        UsageError: the file is missing or no TOML, or a setting is unknown or has the wrong type.
    """
    raw = _toml(path)
    for key in raw:
        if key not in SETTINGS:
            raise UsageError(f"{path}: {unknown('setting of a study', key, [*SETTINGS])}")
    if missing := [key for key in ("models", "tasks") if key not in raw]:
        raise UsageError(f'{path}: wanted {" and ".join(missing)}, got none; say {missing[0]} = ["name", ...].')
    values = {key: _checked(path, key, value) for key, value in raw.items()}
    rules = (*values.pop("exclude", ()), *values.pop("override", ()))
    grid, protocol = ({f.name: values[f.name] for f in fields(c) if f.name in values} for c in (Grid, Protocol))
    return Grid(**grid, rules=rules), Protocol(**protocol)


def rule(text: str, kind: str) -> Rule:
    """Parse a rule from the command line, such as `searcher=bo budget=100`.

    Values are written as in a file, but names without quotes.

    Raises:
        UsageError: the message says what was expected.
    """
    try:
        (parsed,) = SETTINGS[kind]([text])
    except ValueError as error:
        raise UsageError(f"--{kind} {text!r}: wanted {error}.") from error
    return parsed


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except OSError as error:
        raise UsageError(f"No study file {str(path)!r} ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {type(error).__name__}: {error}") from error


def _text(path: Path) -> str:
    """Read a text in UTF-8, with or without a byte order mark as written on Windows.

    Raises:
        ValueError: the encoding differs.
    """
    content = safe_read.content(path, LARGEST_FILE)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError("it is in UTF-16; save it in UTF-8")
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8; save it in UTF-8") from error


def _checked(path: Path, key: str, value: object) -> Any:
    try:
        return SETTINGS[key](value)
    except ValueError as error:
        raise UsageError(f"{path}: {key}: wanted {error}, got {value!r}.") from error


def _excluded(value: Any) -> list[Rule]:
    return [Rule(_rule_conditions(table)) for table in _tables(value, '{searcher = "bo"}')]


def _overridden(value: Any) -> list[Rule]:
    return [_override(table) for table in _tables(value, '{searcher = "bo", budget = 100}')]


def _override(table: dict[str, Any]) -> Rule:
    conditions = {k: v for k, v in table.items() if k in (*NAMED, *NUMBERED)}
    overrides = {k: v for k, v in table.items() if k not in conditions}
    for key, value in overrides.items():
        if key not in PROTOCOL:
            raise ValueError(f"of each override what it changes ({', '.join(PROTOCOL)}), not {key!r}")
        try:
            overrides[key] = SETTINGS[key](value)
        except ValueError as error:
            raise ValueError(f"{key} to be {error}") from error
    if not overrides:
        raise ValueError(f"of each override what it changes ({', '.join(PROTOCOL)})")
    return Rule(_rule_conditions(conditions), overrides)


def _tables(value: Any, example: str) -> list[dict[str, Any]]:
    """Return the tables of rules; each may be a text as on the command line, `"searcher=bo budget=100"`.

    Raises:
        ValueError: the message says what was expected, and gives an example.
    """
    if not (isinstance(value, list) and value and all(isinstance(v, dict | str) for v in value)):
        raise ValueError(f"one or more tables, as [{example}]")
    return [_table(v) if isinstance(v, str) else v for v in value]


def _table(text: str) -> dict[str, Any]:
    """Return the conditions and settings of a rule in a text.

    Raises:
        ValueError: one stands twice, or a double quote is not closed.
    """
    pairs = [word.partition("=") for word in words(text)]
    table = {key: value if key in NAMED else _value(value) for key, _, value in pairs}
    if len(table) < len(pairs):
        raise ValueError("everything once")
    return table


def _rule_conditions(table: dict[str, Any]) -> dict[str, str | tuple[int, ...]]:
    """Return the conditions that select the runs of a rule."""
    if not table or not table.keys() <= {*NAMED, *NUMBERED}:
        raise ValueError(f"which runs are meant, by {', '.join((*NAMED, *NUMBERED))}")
    return {k: _name(v) if k in NAMED else _seed_condition(k, v) for k, v in table.items()}


def _seed_condition(key: str, value: Any) -> tuple[int, ...]:
    """Return the seeds of a condition: a number, a list of them, or a text as `1,2` or `0-9`."""
    try:
        return tuple(seeds(value) if isinstance(value, str) else _seeds(value if isinstance(value, list) else [value]))
    except ValueError as error:
        raise ValueError(f"{key} to be whole numbers from 0 to {SEED}, as 1 or 1,2 or 0-9") from error


def _names(value: Any) -> list[str]:
    """Return names with their settings, as on the command line."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of names or tables")
    return list(dict.fromkeys(map(_name, value)))


def _name(value: Any) -> str:
    if isinstance(value, str) and value:
        return _expand_path(value)
    if not (isinstance(value, dict) and isinstance(value.get("name"), str) and value["name"]):
        raise ValueError("each of them a name, or a table with a name and settings")
    settings = {k: v for k, v in value.items() if k != "name"}
    for k, v in settings.items():
        if not isinstance(v, str | int | float):
            raise ValueError(f"{k} to be a number, true, false or a text")
    texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in settings.items()}
    return _expand_path(str(Choice(value["name"], texts)))


def _expand_path(name: str) -> str:
    try:
        return with_home_folder(name)
    except UnusableError as error:
        raise ValueError(f"a path without `~`: {error}") from error


def _words(value: Any) -> tuple[str, ...]:
    if not (isinstance(value, list) and value and all(isinstance(v, str) for v in value)):
        raise ValueError("a list of texts")
    return tuple(dict.fromkeys(value))


def _seeds(value: Any) -> list[int]:
    if not (isinstance(value, list) and value and all(is_whole(v, 0, SEED) for v in value)):
        raise ValueError(f"a list of whole numbers from 0 to {SEED}")
    return list(dict.fromkeys(value))


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _whole(least: int | float, most: int | float) -> Check:
    def check(value: Any) -> int:
        if not (is_whole(value) and least <= value <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return value

    return check


def _real(least: int | float, most: int | float) -> Check:
    def check(value: Any) -> float:
        if not (is_number(value) and least <= value <= most and value < math.inf):
            raise ValueError(f"a finite number from {least:g} {'on' if most == math.inf else f'to {most:g}'}")
        return value + 0.0  # no minus zero

    return check


def thresholds(value: Any) -> tuple[float, ...]:
    """Return thresholds, the largest first.

    Raises:
        ValueError: the message says what was expected.
    """
    if not (isinstance(value, list) and value and all(is_number(v) and 0 <= v < math.inf for v in value)):
        raise ValueError("a list of finite numbers from 0 on")
    return tuple(sorted({v + 0.0 for v in value}, reverse=True))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _check(setting: Setting) -> Check:
    """Return the check of a setting of runs, by its type."""
    if setting.kind in (int, float):
        return {int: _whole, float: _real}[setting.kind](*setting.bounds)
    return {bool: _flag, str: _word}.get(setting.kind, thresholds)


SETTINGS: dict[str, Check] = {
    "models": _names,
    "tasks": _names,
    "searchers": _names,
    "seeds": _seeds,
    "search_seeds": _seeds,
    "train_seeds": _seeds,
    "regions": _words,
    "arch": _word,
    "latent": _whole(1, LATENT),
    "starts": _words,
    "decoding": _word,
    **{name: _check(setting) for name, setting in RUN_SETTINGS.items()},
    "exclude": _excluded,
    "override": _overridden,
}
PROTOCOL = [f.name for f in fields(Protocol)]
