"""End a command by whether all planned runs are there."""

from collections.abc import Collection

import typer

from lso_bench.api.output import say
from lso_bench.commands.exit_status import INCOMPLETE, UNUSABLE


def print_end(state, named_keys: Collection[str] = ()) -> None:
    """Print which planned runs are missing or damaged, and exit with their status; `named_keys` were printed before."""
    for line in (*state.damaged(except_keys=named_keys), *state.incomplete()):
        say(line)
    if not state.complete:
        raise typer.Exit(UNUSABLE if state.damages else INCOMPLETE)
