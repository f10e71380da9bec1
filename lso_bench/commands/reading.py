"""Results folders as `report` and `plot` read them."""

from pathlib import Path

from lso_bench.commands.compare import homes
from lso_bench.commands.output import say
from lso_bench.errors import UnusableError


def read(folders: list[Path]):
    """What a report is made of.

    Raises:
        UnusableError: no results folder, or one without runs.
    """
    from lso_bench.compare import compare
    from lso_bench.descent import with_curves
    from lso_bench.evaluation import kept
    from lso_bench.report.html import Results
    from lso_bench.store import Store

    stores = [Store(f, readonly=True) for f in folders]
    records = list({r.spec.key: r for s in stores for r in s}.values())
    skipped = [line for s in stores for line in s.skipped]
    for line in skipped:
        say(f"skipped: {line}")
    if not records:
        raise UnusableError(f"No runs in {', '.join(map(str, folders))}; `lso-bench run` makes some.")
    home = homes(records, stores)
    found = with_curves(compare(records, home), records, home)
    return Results(folders, records, home, found, [m for s in stores for m in kept(s.folder)], skipped)
