"""The notation of names, settings and lists of them: `name:key=value,key=value`, several with commas.

One rule for what would be taken for something else: a name or a value that holds a comma, a double quote or outer
spaces, and a name that holds a colon, stands in double quotes; a double quote inside them is doubled.

    "./a,b.py":label="x, y",target=0.3
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from pathlib import PurePath

from lso_bench.vae.bounds import WHOLE

SETTING = re.compile(r"\s*[^\W\d]\w*\s*=")  # how a setting begins
QUOTED = re.compile('"((?:[^"]|"")*)"')
DIGITS = re.compile(r"[+-]?[0-9]{1,40}")
REAL = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)


def parse(text: str) -> tuple[str, dict[str, str]]:
    """The name and the settings of `name:key=value,...`.

    Raises:
        ValueError: a double quote that is not closed, a setting without a value, or one that stands twice.
    """
    name, *more = _split(text, ":", most=1)
    settings: dict[str, str] = {}
    for item in _split(more[0], ",") if more and more[0].strip() else []:
        key, *value = _split(item, "=", most=1)
        if not value:
            raise ValueError(f"wanted settings as key=value, separated by commas, got {item.strip()!r}.")
        if _plain(key) in settings:
            raise ValueError(f"setting {_plain(key)!r} stands twice; give it once.")
        settings[_plain(key)] = _plain(value[0])
    return _plain(name), settings


def write(name: str, settings: Mapping[str, object] | None = None) -> str:
    """The text that `parse` reads as this name and these settings."""
    values = ",".join(f"{key}={_quoted(str(value), ',')}" for key, value in (settings or {}).items())
    return _quoted(name, ",:=" if SETTING.match(name) else ",:") + (f":{values}" if values else "")


def parts(text: str) -> list[str]:
    """The names of a list with commas, each with its settings as it stands there.

    A setting belongs to the name before it: `a:x=1,y=2,b` are `a:x=1,y=2` and `b`.

    Raises:
        ValueError: a double quote that is not closed.
    """
    listed: list[str] = []
    for part in _split(text, ","):
        if listed and SETTING.match(part) and len(_split(listed[-1], ":", most=1)) > 1:
            listed[-1] += f",{part.rstrip()}"
        else:
            listed.append(part.strip())
    return listed


def joined(texts: Iterable[str]) -> str:
    """The list that `parts` reads as these names with their settings."""
    return ",".join(texts)


def words(text: str) -> list[str]:
    """The words between the spaces of a text; spaces in double quotes do not count.

    Raises:
        ValueError: a double quote that is not closed.
    """
    return [word for word in _split(text, " \t\n") if word]


@lru_cache(maxsize=4096)  # asked for each of the runs of a study, of which few differ in it
def name_of(text: str) -> str:
    """The name without its settings, of any text."""
    return read(text)[0]


def read(text: str) -> tuple[str, dict[str, str]]:
    """As `parse`, of any text: one that is not in this notation is a name as a whole."""
    try:
        return parse(text)
    except ValueError:
        return text, {}


def is_file(name: str) -> bool:
    """Whether a name is the path of a file with code."""
    return name.lower().endswith(".py")


def path_text(name: str) -> str:
    """The one spelling of a path: relative ones begin with `./` or `../`, and nothing in it is superfluous."""
    plain = str(PurePath(name))
    return plain if os.path.isabs(plain) or plain.startswith(os.pardir) else os.path.join(os.curdir, plain)


def unquoted_path(text: str) -> str:
    """A line for a text that begins with an existing path which wants double quotes; empty for any other."""
    for end in (m.start() for m in re.finditer("[,:]|$", text)):
        path = text[:end]
        if re.search('[,:"]', path) and os.path.lexists(path):
            return f"The path {path!r} stands in double quotes, for its commas and colons: '{_quoted(path, ',:')}'."
    return ""


def whole(text: str, least: int = -WHOLE, most: int = WHOLE) -> int:
    """A whole number in plain digits.

    Raises:
        ValueError: something else, `1_0` too, or one out of these bounds.
    """
    if not (DIGITS.fullmatch(text) and least <= int(text) <= most):
        raise ValueError(f"wanted a whole number from {least} to {most} in plain digits, got {text!r}")
    return int(text)


def real(text: str) -> float:
    """A number in plain digits.

    Raises:
        ValueError: something else, `1_0` too.
    """
    if not REAL.fullmatch(text):
        raise ValueError(f"wanted a number in plain digits, got {text!r}")
    return float(text)


def digits(number: float) -> str:
    """A number in as few plain digits as give it back, without an exponent: `3` for 3.0."""
    return format(Decimal(repr(number)), "f").removesuffix(".0") if math.isfinite(number) else str(number)


def _split(text: str, separators: str, most: int = -1) -> list[str]:
    """The pieces of a text between separators outside of double quotes, quotes and all."""
    cuts = [*_outside(text, separators)][: most if most >= 0 else None]
    return [text[start + 1 : end] for start, end in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def _outside(text: str, separators: str) -> Iterator[int]:
    quoted = False
    for place, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character in separators and not quoted:
            yield place
    if quoted:
        raise ValueError(f'a double quote is not closed in {text!r}; one inside quotes is written "".')


def _plain(piece: str) -> str:
    """A piece without its outer spaces and its quotes."""
    return QUOTED.sub(lambda quote: quote[1].replace('""', '"'), piece.strip())


def _quoted(piece: str, special: str) -> str:
    """A piece in quotes, if it needs them."""
    if piece == piece.strip() and not any(c in piece for c in ('"', *special)):
        return piece
    return '"' + piece.replace('"', '""') + '"'
