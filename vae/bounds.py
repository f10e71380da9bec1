"""The numbers and texts that are taken: the same bounds for options, study files, settings and results."""

import re
from typing import TypeGuard

WHOLE = 2**53 - 1  # largest whole number; beyond it not every one is exact as a float, as which tables hold it
SEED = 2**32 - 1  # largest seed: NumPy's; torch takes 2**64 - 1, and trainings multiply a seed by a million
LATENT = 1024  # most latent dimensions
DRAWS = 10**7  # most images or codes of a measurement; 10 GB in 256 dimensions

_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, as which a byte of a name that is no UTF-8 comes


def is_whole(value: object, least: int = -WHOLE, most: int = WHOLE) -> TypeGuard[int]:
    """Whether it is a whole number in these bounds; true and false are none."""
    return type(value) is int and least <= value <= most


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a float, or a whole number that is exact as one."""
    return type(value) is float or is_whole(value)


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is a text that a file can hold."""
    return type(value) is str and (value.isascii() or not _SURROGATE.search(value))


def is_name(value: object) -> TypeGuard[str]:
    """Whether it is a text of one line that a file can hold and a command can be given."""
    return is_text(value) and "\0" not in value and len(f"{value}.".splitlines()) == 1
