"""Commands for authors of plugins: `new-task`, `check-task`, `new-model`, `check-model`, `check-searcher`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from lso_bench.api.output import say
from lso_bench.bounds import SEED, WHOLE
from lso_bench.commands.exit_status import USAGE
from lso_bench.commands.options import DataDir, Json, outside, plugin
from lso_bench.files.sanitize import printable


def new_task(
    name: Annotated[str, typer.Argument(help="Of the task; of its file as well.")],
    folder: Annotated[Path, typer.Option(parser=outside, metavar="PATH", help="Where to write it.")] = Path("."),
    kind: Annotated[Literal["image", "text"], typer.Option(help="What it scores.")] = "image",
) -> None:
    """Write a commented example of a task, to be changed."""
    from lso_bench.testing import template

    path = template.write(name, folder, "text task" if kind == "text" else "task")
    print(path)
    say(f"Change its score; then say `lso-bench check-task {shlex.quote(str(path))}`.")


def check_task(
    task: Annotated[
        str, typer.Argument(parser=plugin, metavar="TASK", help="A name, with or without settings, or ./file.py.")
    ],
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look at everything that a task promises, and say what is missing."""
    from lso_bench.testing import examine

    _print_findings(f"Task {task!r}", examine(task, data_dir=data_dir), json)


def new_model(
    name: Annotated[str, typer.Argument(help="Of the model; of its file as well.")],
    folder: Annotated[Path, typer.Option(parser=outside, metavar="PATH", help="Where to write it.")] = Path("."),
    kind: Annotated[Literal["image", "text"], typer.Option(help="What it takes and gives.")] = "image",
) -> None:
    """Write a commented example of a model of your own networks, to be changed."""
    from lso_bench.testing import template

    path = template.write(name, folder, "text model" if kind == "text" else "model")
    print(path)
    say(f"Put your networks in; then say `lso-bench check-model {shlex.quote(str(path))}`.")


def check_model(
    model: Annotated[
        str, typer.Argument(parser=plugin, metavar="MODEL", help="A name, with or without settings, or ./file.py.")
    ],
    seed: Annotated[int, typer.Option(min=0, max=SEED, help="Of its training, if it has a field seed.")] = 0,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Look at everything that a model of your own networks promises, and say what is missing."""
    from lso_bench.testing import examine_model

    _print_findings(f"Model {model!r}", examine_model(model, data_dir=data_dir, seed=seed), json)


def check_searcher(
    searcher: Annotated[
        str, typer.Argument(parser=plugin, metavar="SEARCHER", help="A name, with or without settings, or ./file.py.")
    ],
    steps: Annotated[int, typer.Option(min=3, max=WHOLE, help="Of each search; fewer where they are dear.")] = 30,
    json: Json = False,
) -> None:
    """Look at everything that a searcher promises, and say what is missing."""
    from lso_bench.testing import examine_searcher

    _print_findings(f"Searcher {searcher!r}", examine_searcher(searcher, steps), json)


def _print_findings(plugin_name: str, findings: Iterator, json: bool) -> None:
    """Print the findings; exit with status 2 if a requirement is not met."""
    from dataclasses import asdict
    from json import dumps

    seen = []
    for finding in findings:
        seen.append(finding)
        if not json:
            print(printable(str(finding)), flush=True)
    if json:
        print(dumps([asdict(f) for f in seen], indent=1))
    if missing := sum(f.state == "missing" for f in seen):
        say(f"{plugin_name} breaks {missing} of its promises.")
        raise typer.Exit(USAGE)
    say(f"{plugin_name} keeps all its promises.")
