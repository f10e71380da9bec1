"""Every picture of a set of runs."""

import hashlib
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from lso_bench import figures as drawn
from lso_bench import pictures as draw
from lso_bench.compare import Comparison
from lso_bench.record import Record
from lso_bench.report.sections import Section, sections
from lso_bench.store import Store
from vae import checkpoint


def pictures(
    store: Store, records: Sequence[Record], checkpoints: dict[str, Path], comparison: Comparison
) -> list[Path]:
    """Reconstructions, loss curves and activity for each task and searcher, and figures of all; where they are.

    Of several seeds the first is drawn. `checkpoints`: the weights of each run, by key; `comparison`: of these records.
    """
    written = []
    usable = sorted((r for r in records if any(m.steps for m in r.members)), key=_of)  # some go wrong at once
    for (task, searcher), same in groupby(usable, key=_of):
        first = {r.spec.model: r for r in sorted(same, key=lambda r: r.spec.seeds.init, reverse=True)}
        runs = sorted(first.values(), key=lambda r: [x.spec.key for x in records].index(r.spec.key))
        named = [
            task.partition(":")[0].split("/")[-1],
            searcher.partition(":")[0],
            *dict.fromkeys(r.spec.model.name for r in runs),
        ]
        keys = hashlib.sha256("".join(r.spec.key for r in runs).encode()).hexdigest()[:6]  # no two sets share a file
        file = "".join(c if c.isalnum() or c in "._-" else "+" for c in "-".join(named)[:100]) + f"-{keys}.png"
        tensors = [store.tensors(r.spec) for r in runs]
        if "targets" in tensors[0]:
            written.append(draw.reconstructions(store.folder / "pictures" / f"images-{file}", runs, tensors))
        traces = [store.trace(r.spec) for r in runs]
        written.append(draw.curves(store.folder / "pictures" / f"curves-{file}", runs, traces))
        if bars := _activity(runs, checkpoints):
            written.append(draw.activity(store.folder / "pictures" / f"activity-{file}", bars))
    return written + figures(comparison, store.folder / "pictures")


def figures(comparison: Comparison, folder: Path) -> list[Path]:
    """What a comparison says of convergence and of the starts, a set for each of its sections; where they are."""
    written = []
    for section in sections(comparison):
        for name, figure in drawn.FIGURES.items():
            path = folder / f"{name}-{_file(section)}"
            if figure(path, section.title, section.rows):
                written.append(path)
    return written


def _file(section: Section) -> str:
    """No two sets of models and searchers share a file."""
    what = [section.title, *map(" ".join, section.lines()), *section.how.values()]
    name = "".join(c if c.isalnum() or c in "._-" else "+" for c in section.named["task"].partition(":")[0][-60:])
    return f"{name}-{hashlib.sha256(repr(what).encode()).hexdigest()[:6]}.png"


def _of(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.searcher


def _activity(runs: Sequence[Record], checkpoints: dict[str, Path]) -> list[tuple[str, list[float]]]:
    """What the checkpoints' headers say of each model's activity."""
    headers = [(r.spec.model.name, checkpoint.read(checkpoints[r.spec.key])[1]) for r in runs]
    return [(name, h["metrics"]["activity"]) for name, h in headers if "metrics" in h]
