"""Sentence that says what a page is about: runs, models, searchers and tasks."""

from collections.abc import Iterable, Sequence

from lso_bench.analysis.comparison import Comparison
from lso_bench.record import Record
from lso_bench.report.table import short


def summary(comparison: Comparison, records: Sequence[Record]) -> str:
    """Describe the runs: numbers of runs, models, searchers and tasks."""
    failed, diverged = failed_and_diverged(records)
    lost, searches = (
        f"{failed} failed" + f", {diverged} diverged" * bool(diverged),
        sum(len(r.members) for r in records),
    )
    names_by_kind = {k: [*dict.fromkeys(getattr(r.spec, f"{k}_name") for r in records)] for k in ("task", "searcher")}
    models = sorted({r.spec.model.name for r in records})
    trained = len({(r.spec.model, r.spec.checkpoint) for r in records})
    seeds = "one training seed each" if trained == len(models) else f"{trained} trained models"
    parts = [
        f"{counted(len(records), 'run')} ({lost}) with {searches:,} searches:",
        f"{counted(len(models), 'model')} ({names(models)}; {seeds}),",
        f"{counted(len(names_by_kind['searcher']), 'searcher')} ({names(names_by_kind['searcher'])})",
        f"on {counted(len(names_by_kind['task']), 'task')} ({names(names_by_kind['task'])}).",
    ]
    n_notes = len(comparison.notes)
    if n_notes:
        parts.append(f"{counted(n_notes, 'flag')} below {'say' if n_notes > 1 else 'says'} what may not be compared.")
    return " ".join(parts)


def failed_and_diverged(records: Sequence[Record]) -> tuple[int, int]:
    """Return the numbers of runs without a search, and of those with a search that has no finite loss."""
    lost = [bool(r.members) for r in records if r.status != "ok"]
    return lost.count(False), lost.count(True)


def names(texts: Iterable[object], most: int = 8) -> str:
    """List names, at most `most` of them."""
    shortened = [short(t) for t in dict.fromkeys(texts)]
    suffix = f" and {len(shortened) - most} more" if len(shortened) > most else ""
    return ", ".join(shortened[:most]) + suffix


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is not one."""
    return f"{n:,} {noun}{'s' * (n != 1)}"
