"""Canonical spelling of the names of runs, found without executing code that they name."""

from collections.abc import Callable
from contextlib import suppress

from lso_bench.errors import UsageError
from lso_bench.plugins.notation import is_file, parse, path_text, read, real
from lso_bench.search import region, starts
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.objectives import OBJECTIVES


def model(name: str) -> str:
    """Return the canonical name of a built-in model; for other models, the canonical spelling of the path."""
    family, _ = read(name)
    if OBJECTIVES.is_built_in(family):
        return OBJECTIVES.canonical(name)
    return name.replace(family, path_text(family), 1) if is_file(family) else name


CANONICAL: dict[str, Callable[[str], str]] = {
    "model": model,
    "arch": ARCHITECTURES.canonical,
    "region": region.canonical,
    "start": starts.canonical,
}


def spelled(kind: str, text: str) -> str:
    """Return the canonical spelling of a name of this kind; an invalid name stays as it is."""
    with suppress(ValueError, UsageError):
        return CANONICAL[kind](text) if kind in CANONICAL else text
    return text


def means(kind: str, pattern: str, text: str) -> bool:
    """Return whether `pattern`, a name with some settings or none, matches a name with all of its settings."""
    pattern, text = spelled(kind, pattern), spelled(kind, text)
    if pattern == text:
        return True
    try:
        (pattern_name, pattern_settings), (text_name, text_settings) = parse(pattern), parse(text)
    except ValueError:
        return False
    return _path(pattern_name) == _path(text_name) and all(
        k in text_settings and _equal_values(v, text_settings[k]) for k, v in pattern_settings.items()
    )


def _path(name: str) -> str:
    return path_text(name) if is_file(name) else name


def _equal_values(left: str, right: str) -> bool:
    """Return whether two texts of a setting have the same value: equal as texts, numbers or truth values."""
    with suppress(ValueError):
        return real(left) == real(right)
    return left == right or (left.lower() == right.lower() and left.lower() in ("true", "false"))
