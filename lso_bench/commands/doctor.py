"""The command `doctor`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lso_bench.commands.exit_status import UNUSABLE
from lso_bench.commands.options import DataDir, Json, outside
from lso_bench.files.sanitize import printable

if TYPE_CHECKING:
    from lso_bench.doctor.finding import Finding


def doctor(
    results: Annotated[
        list[Path] | None, typer.Argument(parser=outside, help="Results folders or archives to look at, too.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
    show_all: Annotated[
        bool, typer.Option("--all", help="A line for each checkpoint, instead of their number.")
    ] = False,
) -> None:
    """Say what is wrong with the installation, data, checkpoints and results, with the mend; status 4 if unusable."""
    from dataclasses import asdict
    from json import dumps

    from lso_bench.doctor.installation import examine
    from lso_bench.progress import announced

    with announced("Looking at the installation, data, checkpoints and results"):
        findings = [*examine(results or [], data_dir)]
    lines = [dumps([asdict(f) for f in findings], indent=1)] if json else _lines(findings, show_all)
    for line in lines:
        print(line if json else printable(" ".join(line.split("\n"))))
    if any(f.state == "unusable" for f in findings):
        raise typer.Exit(UNUSABLE)


def _lines(findings: "Sequence[Finding]", show_all: bool) -> Iterator[str]:
    """Yield a line for each problem, the worst first, then for what is well, and a verdict."""
    by_state = {state: [f for f in findings if f.state == state] for state in ("unusable", "warning", "ok")}
    for finding in (*by_state["unusable"], *by_state["warning"]):
        yield str(finding)
    sound = by_state["ok"]
    checkpoints = [f for f in sound if f.about == "checkpoints"]
    yield from (str(f) for f in sound if show_all or f not in checkpoints)
    if checkpoints and not show_all:
        yield f"ok        checkpoints: {len(checkpoints)} are whole and fit their architectures"
    counts = [(len(by_state["unusable"]), "unusable"), (len(by_state["warning"]), "to be warned of")]
    wrong = " and ".join(f"{n} {state}" for n, state in counts if n)
    yield f"Result: {wrong}; the first lines say what helps." if wrong else "Result: nothing is wrong."
