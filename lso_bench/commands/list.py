"""The command `list`."""

from typing import Annotated

import typer

from lso_bench.api.output import out, say
from lso_bench.errors import unknown


def list_(kind: Annotated[str, typer.Argument(help="models, data, tasks, searchers or architectures.")]) -> None:
    """List what there is."""
    from rich.markup import escape
    from rich.table import Table

    from lso_bench.commands.catalogue import GROUPS, catalogue, trained

    if kind not in GROUPS:
        raise unknown("list", kind, list(GROUPS))
    table, listed = Table(box=None, show_header=False, pad_edge=False), catalogue(kind)
    for name, description in listed.names.items():
        text = f"{description.partition(chr(10))[0]} {trained(name)}" if kind == "models" else description
        table.add_row(escape(name), escape(text))
    out().print(table)
    for name, why in listed.faults.items():
        say(f"faulty: {name}: {why}")
