"""Call a plugin: what it raises is said under its name, what it changes in this process is put back."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from lso_bench.errors import LsoBenchError, PluginError
from lso_bench.search import Searcher
from lso_bench.task import Task
from lso_bench.vae.containment import contained, reason
from lso_bench.vae.random_numbers import Stream, passing

OURS = "lso_bench.searchers."  # whose code is trusted to leave the process as it is, for a step is short


@contextmanager
def plugin_errors(kind: str, plugin: Task | Searcher, stream: Stream | None = None) -> Iterator[None]:
    """Within, the plugin's code runs.

    Args:
        kind: "task" or "searcher".
        stream: the global random numbers that it draws; those of the process if left out.

    Raises:
        PluginError: whatever it raises, but for an error of this program.
    """
    try:
        with (
            nullcontext()
            if type(plugin).__module__.startswith(OURS)
            else contained(stream.drawn if stream else passing)
        ):
            yield
    except LsoBenchError:
        raise
    except Exception as error:
        raise PluginError(f"{kind} {type(plugin).__name__}: {reason(error)}") from error
