"""The commands for who writes a task: `new-task` and `check-task`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import DataDir, Json
from lso_bench.commands.output import say


def new_task(
    name: Annotated[str, typer.Argument(help="Of the task; of its file as well.")],
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path("."),
) -> None:
    """Write a commented example of a task, to be changed."""
    from lso_bench import example

    path = example.write(name, folder)
    print(path)
    say(f"Change its score; then say `lso-bench check-task {path}`.")


def check_task(
    task: Annotated[str, typer.Argument(help="A name, with or without settings, or ./file.py.")],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look at everything that a task promises, and say what is missing."""
    from dataclasses import asdict
    from json import dumps

    from lso_bench.testing import examine

    found = []
    for finding in examine(task, data_dir=data_dir):
        found.append(finding)
        if not json:
            print(finding, flush=True)
    if json:
        print(dumps([asdict(f) for f in found], indent=1))
    if missing := sum(f.state == "missing" for f in found):
        say(f"Task {task!r} breaks {missing} of its promises.")
        raise typer.Exit(2)
    say(f"Task {task!r} keeps all its promises.")
