"""Errors that are raised on purpose; the command line shows each as one line and an exit status."""

from difflib import get_close_matches


class LsoBenchError(Exception):
    """Base class of all errors of lso-bench."""

    status = 1


class UsageError(LsoBenchError):
    """The request names something that does not exist, or its parts do not fit together."""

    status = 2


class UnusableError(LsoBenchError):
    """Data, results or a checkpoint cannot be used."""

    status = 4


class DamagedError(UnusableError):
    """The result of one run cannot be read; other runs are not affected."""


class PluginError(LsoBenchError):
    """A task or searcher breaks its contract; its run fails, and other runs go on."""

    status = 2


def unknown(kind: str, name: str, known: list[str]) -> UsageError:
    """Return an error about an unknown name, with the most similar known one."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"No {kind} {name!r}; there are {', '.join(map(repr, sorted(known)))}.{hint}")
