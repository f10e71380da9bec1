"""Errors that are raised on purpose; the command line shows each as one line and an exit status."""

from difflib import get_close_matches


class LsoBenchError(Exception):
    """Base class of all errors of lso-bench."""


class UsageError(LsoBenchError):
    """The request names something that does not exist, or its parts do not fit together."""


class UnusableError(LsoBenchError):
    """Data, results or a checkpoint cannot be used: missing, damaged or not what was requested."""


class MissingError(UnusableError):
    """Files of a data set, or the package that reads them, are missing, and may be downloaded or installed."""


class WriteError(UnusableError):
    """A file cannot be written."""


class DamagedError(UnusableError):
    """The result of one run cannot be read; other runs are not affected."""


class PluginError(LsoBenchError):
    """A task or searcher breaks its contract; its run fails, and other runs go on."""


class EndedError(SystemExit):
    """Ctrl-C or a signal ends the program; no code of a plugin raises it."""


def unknown(kind: str, name: str, known: list[str]) -> UsageError:
    """Return an error about an unknown name, with the most similar known one; without any, a plugin is a file.

    A list where one name is wanted is called so.
    """
    if "," in name and any(part.strip() in known for part in name.split(",")):
        return UsageError(f"Wanted one {kind}, got a list: {name!r}. Give each to a command of its own.")
    if not known:
        return UsageError(f"No {kind} {name!r}; none has a name here. Give a file by its path: ./{name}.py.")
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UsageError(f"No {kind} {name!r}; there are {', '.join(map(repr, sorted(known)))}.{hint}")
