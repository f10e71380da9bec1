"""Names of runs as a user may spell them: told without executing anything that they name."""

from collections.abc import Callable
from contextlib import suppress

from lso_bench import starts
from lso_bench.errors import UsageError
from lso_bench.search import region
from lso_bench.vae import networks, zoo
from lso_bench.vae.notation import is_file, parse, path_text, read, real


def model(name: str) -> str:
    """The one name of a model of ours; of another, the one spelling of its path."""
    family, _ = read(name)
    if zoo.is_ours(family):
        return zoo.canonical(name)
    return name.replace(family, path_text(family), 1) if is_file(family) else name


SPELLED: dict[str, Callable[[str], str]] = {
    "model": model,
    "arch": networks.canonical,
    "region": region.canonical,
    "start": starts.canonical,
}


def spelled(kind: str, text: str) -> str:
    """A name of a kind in the one spelling that runs have; one that means nothing as it is."""
    with suppress(ValueError, UsageError):
        return SPELLED[kind](text) if kind in SPELLED else text
    return text


def means(kind: str, wanted: str, text: str) -> bool:
    """Whether a name that is wanted, perhaps with some settings, stands for a name with all of its settings."""
    wanted, text = spelled(kind, wanted), spelled(kind, text)
    if wanted == text:
        return True
    try:
        (name, some), (other, every) = parse(wanted), parse(text)
    except ValueError:
        return False
    return _path(name) == _path(other) and all(k in every and _same(v, every[k]) for k, v in some.items())


def _path(name: str) -> str:
    return path_text(name) if is_file(name) else name


def _same(one: str, other: str) -> bool:
    """Whether two texts of a setting mean the same value: equal, or equal as numbers or as true and false."""
    with suppress(ValueError):
        return real(one) == real(other)
    return one == other or (one.lower() == other.lower() and one.lower() in ("true", "false"))
