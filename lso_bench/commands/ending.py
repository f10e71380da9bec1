"""End a command by whether all that it planned is there."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import typer

from lso_bench.api.output import say
from lso_bench.commands.exit_status import INCOMPLETE, UNUSABLE
from lso_bench.errors import LsoBenchError, WriteError


class Attempts:
    """Work on several models: an error about one of them is kept for the end, and the others go on."""

    def __init__(self) -> None:
        self._errors: dict[str, LsoBenchError] = {}
        self._count = 0

    @contextmanager
    def work_on(self, model: str) -> Iterator[None]:
        """Work on a model in this context."""
        self._count += 1
        try:
            yield
        except WriteError:
            raise
        except LsoBenchError as error:
            self._errors[model] = error

    @property
    def all_failed(self) -> bool:
        """Return whether no model is left."""
        return len(self._errors) == self._count

    def end(self) -> None:
        """Name the models that failed, and exit with a status that says so.

        Raises:
            LsoBenchError: every model failed; it is the error of the first.
        """
        first, *rest = self._errors.items() if self.all_failed else [None, *self._errors.items()]
        for model, error in rest:
            say(f"Failed: {model}: {error}")
        if first:
            raise first[1]
        if rest:
            raise typer.Exit(INCOMPLETE)


def print_end(state, named_keys: Collection[str] = ()) -> None:
    """Print which planned runs are missing or damaged, and exit with their status; `named_keys` were printed before."""
    for line in (*state.damaged(except_keys=named_keys), *state.incomplete()):
        say(line)
    if not state.complete:
        raise typer.Exit(UNUSABLE if state.damages else INCOMPLETE)
