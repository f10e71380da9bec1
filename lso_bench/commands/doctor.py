"""The command `doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.exit_status import UNUSABLE
from lso_bench.commands.options import DataDir, Json, outside
from lso_bench.files.sanitize import printable


def doctor(
    results: Annotated[
        list[Path] | None, typer.Argument(parser=outside, help="Results folders or archives to look at, too.")
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Say what is wrong with the installation, data, checkpoints and results, with the mend; status 4 if unusable."""
    from dataclasses import asdict
    from json import dumps

    from lso_bench.doctor.installation import examine

    findings = []
    for finding in examine(results or [], data_dir):
        findings.append(finding)
        if not json:
            print(printable(" ".join(str(finding).split("\n"))), flush=True)
    if json:
        print(dumps([asdict(f) for f in findings], indent=1))
    if any(f.state == "unusable" for f in findings):
        raise typer.Exit(UNUSABLE)
