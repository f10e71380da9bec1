"""Notation of names with settings, `name:key=value,key=value`, and of lists of them, separated by commas.

A name or value stands in double quotes if it holds a comma, a double quote or outer spaces; a name also if it holds a
colon. A double quote inside the quotes is doubled.

    "./a,b.py":label="x, y",target=0.3
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath
from typing import Any, NamedTuple

from lso_bench.bounds import SEED, WHOLE
from lso_bench.files.paths import from_outside

LONGEST_RANGE = 100_000  # numbers in a range as 0-9
SETTING = re.compile(r"\s*[^\W\d]\w*\s*=")  # start of a setting
OBJECT_HASH = re.compile(r"@[0-9a-f]{8}$")  # after the name of an object
QUOTED = re.compile('"((?:[^"]|"")*)"')
DIGITS = re.compile(r"[+-]?[0-9]{1,40}")
REAL = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)


class Choice(NamedTuple):
    """A plugin, data set or model by its name, with some settings as texts; `str` gives the text that `parse` reads."""

    name: str
    settings: dict[str, Any] = {}

    def __str__(self) -> str:
        values = ",".join(f"{key}={_quoted(str(value), ',')}" for key, value in self.settings.items())
        return _quoted(self.name, ",:=" if SETTING.match(self.name) else ",:") + (f":{values}" if values else "")


def parse(text: str) -> Choice:
    """Return the name and the settings of `name:key=value,...`.

    Raises:
        ValueError: a double quote is not closed, or a setting has no value or stands twice.
    """
    name, *setting_lists = _split(text, ":", most=1)
    settings: dict[str, str] = {}
    for item in _split(setting_lists[0], ",") if setting_lists and setting_lists[0].strip() else []:
        key, *value = _split(item, "=", most=1)
        if not value:
            raise ValueError(f"wanted settings as key=value, separated by commas, got {item.strip()!r}.")
        if _plain(key) in settings:
            raise ValueError(f"setting {_plain(key)!r} stands twice; give it once.")
        settings[_plain(key)] = _plain(value[0])
    return Choice(_plain(name), settings)


def parts(text: str) -> list[str]:
    """Return the names in a list with commas, each with its settings as they stand there.

    A setting belongs to the name before it: `a:x=1,y=2,b` are `a:x=1,y=2` and `b`.

    Raises:
        ValueError: a double quote is not closed.
    """
    names: list[str] = []
    for part in _split(text, ","):
        if names and SETTING.match(part) and len(_split(names[-1], ":", most=1)) > 1:
            names[-1] += f",{part.rstrip()}"
        else:
            names.append(part.strip())
    return names


def joined(texts: Iterable[str]) -> str:
    """Return the list that `parts` reads as these names with their settings."""
    return ",".join(texts)


def words(text: str) -> list[str]:
    """Return the words of a text, separated by spaces outside of double quotes.

    Raises:
        ValueError: a double quote is not closed.
    """
    return [word for word in _split(text, " \t\n") if word]


@lru_cache(maxsize=4096)  # the runs of a study have few different texts
def name_of(text: str) -> str:
    """Return the name without its settings, of any text."""
    return read(text).name


def short_name(text: str) -> str:
    """Return the name without its settings, of a path the file alone, and of an object without its hash."""
    return OBJECT_HASH.sub("", name_of(text).split("/")[-1])


def distinct_names(texts: Sequence[str]) -> list[str]:
    """Return the short name of each text, with what tells it from its namesakes: its settings, its path."""
    known = [read(t).settings for t in texts]
    settings = [[f"{k}={v}" for k, v in s.items() if len({o.get(k) for o in known}) > 1] for s in known]
    names = [[*map(short_name, texts)]]
    names += [[" ".join([n(t), *s]) for t, s in zip(texts, settings, strict=True)] for n in (short_name, name_of)]
    return next((unlike for unlike in names if len({*unlike}) == len({*texts})), names[-1])


def is_object(text: str) -> bool:
    """Return whether a text stands for an object of Python, which only the process that has it can use."""
    return bool(OBJECT_HASH.search(name_of(text)))


def read(text: str) -> Choice:
    """Return what `parse` returns; a text that is not in this notation is a name without settings."""
    try:
        return parse(text)
    except ValueError:
        return Choice(text)


def with_home_folder(text: str) -> str:
    """Return a text with the home folder in full, where the path of its plugin or data set begins with `~`.

    Raises:
        UnusableError: as `lso_bench.files.paths.from_outside`.
    """
    choice = read(text)
    return str(choice._replace(name=str(from_outside(choice.name)))) if choice.name.startswith("~") else text


def is_file(name: str) -> bool:
    """Return whether a name is the path of a Python file."""
    return name.lower().endswith(".py")


def path_text(name: str) -> str:
    """Return the canonical spelling of a path: normalised, a relative one with `./` or `../` before it."""
    plain = str(PurePath(name))
    return plain if os.path.isabs(plain) or plain.startswith(os.pardir) else os.path.join(os.curdir, plain)


def unquoted_path(text: str) -> str:
    """Return advice for a text that begins with an existing path that needs double quotes; empty for others."""
    for end in (m.start() for m in re.finditer("[,:]|$", text)):
        path = text[:end]
        if re.search('[,:"]', path) and os.path.lexists(path):
            return f"The path {path!r} stands in double quotes, for its commas and colons: '{_quoted(path, ',:')}'."
    return ""


def whole(text: str, least: int = -WHOLE, most: int = WHOLE) -> int:
    """Parse an integer in plain digits.

    Raises:
        ValueError: it is something else, such as `1_0`, or outside these bounds.
    """
    if not (DIGITS.fullmatch(text) and least <= int(text) <= most):
        raise ValueError(f"wanted a whole number from {least} to {most} in plain digits, got {text!r}")
    return int(text)


def seeds(text: str) -> list[int]:
    """Parse whole numbers from 0 to SEED, separated by commas, each once; `0-9` is a range.

    Raises:
        ValueError: it is something else, or a range is longer than LONGEST_RANGE.
    """
    return list(dict.fromkeys(number for part in text.split(",") for number in _range(part)))


def _range(text: str) -> range:
    first, dash, last = text.strip().partition("-")
    low = whole(first.strip(), 0, SEED)
    numbered = range(low, whole(last.strip(), low, SEED) + 1) if dash else range(low, low + 1)
    if len(numbered) > LONGEST_RANGE:
        raise ValueError(f"wanted a range of {LONGEST_RANGE:,} numbers or fewer, got {text!r}")
    return numbered


def real(text: str) -> float:
    """Parse a number in plain digits.

    Raises:
        ValueError: it is something else, such as `1_0`.
    """
    if not REAL.fullmatch(text):
        raise ValueError(f"wanted a number in plain digits, got {text!r}")
    return float(text)


def digits(number: float) -> str:
    """Return a number in the fewest plain digits that parse to it, without an exponent: `3` for 3.0."""
    return format(Decimal(repr(number)), "f").removesuffix(".0") if math.isfinite(number) else str(number)


def _split(text: str, separators: str, most: int = -1) -> list[str]:
    """Split a text at separators outside of double quotes; the pieces keep their quotes."""
    cuts = [*_positions_outside_quotes(text, separators)][: most if most >= 0 else None]
    return [text[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def _positions_outside_quotes(text: str, separators: str) -> Iterator[int]:
    quoted = False
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character in separators and not quoted:
            yield position
    if quoted:
        raise ValueError(f'a double quote is not closed in {text!r}; one inside quotes is written "".')


def _plain(piece: str) -> str:
    """Return a piece without its outer spaces and its quotes."""
    return QUOTED.sub(lambda quote: quote[1].replace('""', '"'), piece.strip())


def _quoted(piece: str, special: str) -> str:
    """Return a piece, in quotes if it needs them."""
    if piece == piece.strip() and not any(c in piece for c in ('"', *special)):
        return piece
    return '"' + piece.replace('"', '""') + '"'
