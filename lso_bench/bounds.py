"""Bounds of numbers and texts, the same for options, study files, settings and results."""

import re
from typing import TypeGuard

WHOLE = 2**53 - 1  # largest integer; larger ones are not all exact as floats, and tables hold floats
SEED = 2**32 - 1  # largest seed: NumPy's; torch takes 2**64 - 1, and trainings multiply a seed by a million
LATENT = 1024  # most latent dimensions
DRAWS = 10**7  # most images or latents of a measurement; 10 GB in 256 dimensions

_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: Python's form of a byte that is not UTF-8


def is_whole(value: object, least: int = -WHOLE, most: int = WHOLE) -> TypeGuard[int]:
    """Return whether a value is an integer from `least` to `most`; `True` and `False` are not."""
    return type(value) is int and least <= value <= most


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a float, or an integer that is exact as a float."""
    return type(value) is float or is_whole(value)


def is_text(value: object) -> TypeGuard[str]:
    """Return whether a value is a text that a file can hold."""
    return type(value) is str and (value.isascii() or not _SURROGATE.search(value))


def is_name(value: object) -> TypeGuard[str]:
    """Return whether a value is a text of one line that a file can hold and a command line can pass."""
    return is_text(value) and "\0" not in value and len(f"{value}.".splitlines()) == 1
