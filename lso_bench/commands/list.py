"""The command `list`."""

from typing import Annotated

import typer

from lso_bench.commands.output import out, say
from lso_bench.errors import unknown


def list_(kind: Annotated[str, typer.Argument(help="models, data, tasks, searchers or architectures.")]) -> None:
    """List what there is."""
    from rich.markup import escape
    from rich.table import Table

    from lso_bench.commands.catalogue import REGISTRIES, descriptions

    if kind not in REGISTRIES:
        raise unknown("list", kind, list(REGISTRIES))
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, description in descriptions(kind).items():
        table.add_row(escape(name), escape(description))
    out().print(table)
    for name, why in REGISTRIES[kind].faults().items():
        say(f"faulty: {name}: {why}")
