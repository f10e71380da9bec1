"""The command `compare`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import Json
from lso_bench.commands.output import out, say
from lso_bench.errors import UnusableError, unknown


def compare(
    folders: Annotated[list[Path], typer.Argument(help="Results folders.")],
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV on stdout.")] = False,
    targets: Annotated[
        str, typer.Option(help="Down to the lowest loss of all models (task), or of each (model).")
    ] = "task",
    cost: Annotated[str, typer.Option(help="In the table of targets: steps, evaluations or seconds.")] = "evaluations",
    figures: Annotated[Path | None, typer.Option(help="Folder to draw the comparison into.")] = None,
) -> None:
    """Compare what is in results folders: final losses, cost of convergence, dependence on the start."""
    from lso_bench.store import Store

    stores = [Store(f, readonly=True) for f in folders]
    records = [r for s in stores for r in s]
    for line in (line for s in stores for line in s.skipped):
        say(f"skipped: {line}")
    if not records:
        raise UnusableError(f"No runs in {', '.join(map(str, folders))}; `lso-bench run` makes some.")
    if targets not in ("task", "model"):
        raise unknown("targets", targets, ["task", "model"])
    if cost not in (costs := ("steps", "evaluations", "seconds")):
        raise unknown("cost", cost, list(costs))
    found = print_comparison(records, stores, json, csv, targets, cost)
    if figures:
        from lso_bench.report.gallery import figures as draw

        for path in draw(found, figures):
            say(f"picture: {path}")


def print_comparison(
    records: list, stores: list, json: bool, csv: bool, targets: str = "task", cost: str = "evaluations"
):
    from lso_bench import collapse
    from lso_bench.compare import compare as comparison_of
    from lso_bench.report import export, tables

    home = {r.spec.key: s for s in stores for r in records if r.spec in s}
    unique = list({r.spec.key: r for r in records}.values())
    spaces, skipped = collapse.read([s.folder for s in stores])
    for line in skipped:
        say(f"skipped: {line}")
    found = comparison_of(unique, lambda s: home[s.key], "model" if targets == "model" else "task", spaces)
    if json or csv:
        print(export.as_json(found) if json else export.as_csv(found))
    else:
        out().print(tables.terminal(found, cost))
    return found
