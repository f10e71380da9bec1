"""The command `list`."""

from typing import Annotated

import typer

from lso_bench.commands.output import out, say
from lso_bench.errors import unknown


def list_(kind: Annotated[str, typer.Argument(help="models, data, tasks or searchers.")]) -> None:
    """List what there is."""
    from rich.markup import escape
    from rich.table import Table

    from lso_bench.commands.catalogue import CATALOGUES

    if kind not in CATALOGUES:
        raise unknown("list", kind, list(CATALOGUES))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in CATALOGUES[kind].names().items():
        table.add_row(escape(name), escape(description))
    out().print(table)
    for name, why in CATALOGUES[kind].faults().items():
        say(f"faulty: {name}: {why}")
