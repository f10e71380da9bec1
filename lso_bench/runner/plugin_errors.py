"""Calls of a plugin: errors get the plugin's name, and its changes to this process are undone."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lso_bench.errors import PluginError, UnusableError, UsageError
from lso_bench.plugins.containment import contained, place, reason
from lso_bench.plugins.random_numbers import Stream, passing
from lso_bench.search import Searcher
from lso_bench.task import Task
from lso_bench.vae.trained_model import Model

BUILT_IN = "lso_bench.searchers."  # modules that are trusted not to change the process, because a step is short


@contextmanager
def plugin_errors(kind: str, plugin: Task | Searcher, stream: Stream | None = None) -> Iterator[None]:
    """Run the plugin's code in this context.

    Args:
        kind: "task" or "searcher".
        stream: the global random numbers that the plugin draws; default: those of the process.

    Raises:
        PluginError: the plugin raised an error that is not one of this program.
    """
    try:
        with (
            nullcontext()
            if type(plugin).__module__.startswith(BUILT_IN)
            else contained(stream.drawn if stream else passing)
        ):
            yield
    except (UsageError, PluginError):
        raise
    except Exception as error:  # also a data set that the plugin's own code loads and that is missing
        name = getattr(plugin, "name", "") or type(plugin).__name__  # an object may have a name
        raise PluginError(f"{kind} {name}: {reason(error)}{place(error)}") from error


@contextmanager
def model_errors(model: Model) -> Iterator[None]:
    """Use a model in this context; errors about one from outside fail its own runs, and others of the study go on.

    Raises:
        PluginError: a model from outside cannot be used.
    """
    try:
        yield
    except (UsageError, UnusableError) as error:
        if not model.external:
            raise
        raise PluginError(str(error)) from error
