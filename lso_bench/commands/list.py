"""The command `list`."""

from json import dumps
from typing import Annotated

import typer

from lso_bench.api.output import out, say
from lso_bench.commands.options import Json
from lso_bench.errors import unknown


def list_(
    kind: Annotated[
        str | None, typer.Argument(help="models, data, tasks, searchers or architectures [default: names of all].")
    ] = None,
    json: Json = False,
) -> None:
    """List what there is."""
    from lso_bench.commands.catalogue import GROUPS, catalogue, trained

    if kind not in (None, *GROUPS):
        raise unknown("list", kind, list(GROUPS))
    catalogues = {name: catalogue(name) for name in ([kind] if kind else GROUPS)}
    if json:
        entries = {name: [_entry(name, *item) for item in c.names.items()] for name, c in catalogues.items()}
        print(dumps(entries[kind] if kind else entries, indent=1))
    elif kind:
        texts = {
            name: f"{text.partition(chr(10))[0]} {trained(name)}" if _is_trained_here(kind, text) else text
            for name, text in catalogues[kind].names.items()
        }
        _print(texts)
        if kind == "data":
            say("Data sets are also folders of images, files of texts (./my.txt, ./my.smi) and arrays (./my.npy).")
    else:
        _print({name: ", ".join(c.names) for name, c in catalogues.items()})
    for c in catalogues.values():
        for name, why in c.faults.items():
            say(f"faulty: {name}: {why}")


def _entry(kind: str, name: str, text: str) -> dict[str, str]:
    """Return a plugin as an object of JSON: name, description and settings; of models also the checkpoints."""
    from lso_bench.commands.catalogue import trained

    description, _, settings = text.partition("\n")
    entry = {"name": name, "description": description, "settings": settings}
    if _is_trained_here(kind, text):
        entry["checkpoints"] = trained(name).strip("()").removeprefix("checkpoints: ").replace("no checkpoint yet", "")
    return entry


def _is_trained_here(kind: str, text: str) -> bool:
    from lso_bench.commands.catalogue import OUTSIDE

    return kind == "models" and not text.endswith(OUTSIDE)


def _print(texts: dict[str, str]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in texts.items():
        table.add_row(escape(name), escape(text))
    out().print(table)
