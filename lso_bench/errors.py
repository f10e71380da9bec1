"""The errors that we raise on purpose; the command line shows each as one line and its exit status."""

from difflib import get_close_matches


class LsoBenchError(Exception):
    """The base of all of them."""

    status = 1


class UsageError(LsoBenchError):
    """What was asked for does not exist or does not fit together."""

    status = 2


class UnusableError(LsoBenchError):
    """Data, results or a checkpoint that cannot be used."""

    status = 4


class DamagedError(UnusableError):
    """The result of one run that cannot be read; other runs are not concerned."""


class PluginError(LsoBenchError):
    """A task or searcher that breaks its promise; in the middle of a run that run has failed, and others go on."""

    status = 2


def unknown(kind: str, name: str, known: list[str]) -> UsageError:
    """`name` is none of the `known`; names the nearest."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"No {kind} {name!r}; there are {', '.join(map(repr, sorted(known)))}.{hint}")
