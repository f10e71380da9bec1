"""Every picture of a set of runs."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.curves import with_curves
from lso_bench.models.measurements import Measured
from lso_bench.plotting import images as draw
from lso_bench.plotting.activity import activity
from lso_bench.plotting.style import SIZES, Drawn, Size, drawing, save
from lso_bench.record import Record
from lso_bench.report.figures import FIGURES
from lso_bench.report.figures.collapse import contexts, scatter
from lso_bench.report.figures.rank_tests import critical_difference
from lso_bench.report.sections import Section, named_ways, sections
from lso_bench.store.store import Store
from lso_bench.text import file_part, printable
from lso_bench.vae import checkpoint
from lso_bench.vae.durable import write_atomic
from lso_bench.vae.notation import name_of


def pictures(
    store: Store, records: Sequence[Record], checkpoints: dict[str, Path], comparison: Comparison
) -> list[Path]:
    """Reconstructions and activity for each task and searcher, what was found, and figures of all; where they are.

    Of several seeds the first is drawn. `checkpoints`: the weights of each run, by key; `comparison`: of these records.
    """
    written = []
    usable = sorted((r for r in records if any(m.steps for m in r.members)), key=_of)  # some go wrong at once
    for (task, searcher), same in groupby(usable, key=_of):
        first = {r.spec.model: r for r in sorted(same, key=lambda r: r.spec.seeds.init, reverse=True)}
        runs = sorted(first.values(), key=lambda r: [x.spec.key for x in records].index(r.spec.key))
        names = [_short(task), name_of(searcher), *dict.fromkeys(r.spec.model.name for r in runs)]
        file = _named(names, runs)
        whole = [(r, tensors) for r in runs if (tensors := store.tensors(r.spec)) is not None]
        if whole and "targets" in whole[0][1]:
            path = store.folder / "pictures" / f"images-{file}"
            written.append(draw.reconstructions(path, [r for r, _ in whole], [tensors for _, tensors in whole]))
        if bars := _activity(runs, checkpoints):
            written.append(draw.activity(store.folder / "pictures" / f"activity-{file}", bars))
    all_of_them = with_curves(comparison, records, lambda _: store)
    return [*written, *_found(store, usable), *figures(all_of_them, store.folder / "pictures")]


def _found(store: Store, records: Sequence[Record]) -> Iterator[Path]:
    """For each task that is not about given images: the best that each searcher found in each model, of all runs."""
    for task, same in groupby(records, key=lambda r: r.spec.task):
        runs = list(same)
        if best := _best(store, runs):
            names = [_short(task), *dict.fromkeys(r.spec.model.name for r in runs)]
            path = store.folder / "pictures" / f"found-{_named(names, runs)}"
            names_of = _briefly([searcher for _, searcher in best])
            shown = {(model, names_of[searcher]): found for (model, searcher), found in best.items()}
            yield draw.found(path, f"{task}: the best of each searcher and its score", shown)


def _best(store: Store, runs: Sequence[Record]) -> dict[tuple[str, str], tuple[Tensor, float]]:
    """Image and score, by model and searcher; none where runs are about given images."""
    best: dict[tuple[str, str], tuple[Tensor, float]] = {}
    for r in runs:
        tensors, of = store.tensors(r.spec), (r.spec.model.name, r.spec.searcher)
        scores = 0 - torch.tensor([m.loss for m in r.members]).nan_to_num(torch.inf)  # 0 - 0 is no -0
        at = int(scores.argmax())
        if tensors is not None and "targets" not in tensors and (of not in best or scores[at] > best[of][1]):
            best[of] = tensors["decoded"][at], scores[at].item()
    return best


def _named(names: Sequence[str], runs: Sequence[Record]) -> str:
    """A file for these; no two sets of runs share one."""
    keys = hashlib.sha256("".join(r.spec.key for r in runs).encode()).hexdigest()[:6]
    return f"{file_part('-'.join(names))}-{keys}.png"


def _briefly(searchers: Sequence[str]) -> dict[str, str]:
    """The short name of each; those that share one have their settings, too."""
    shared = Counter(map(_short, dict.fromkeys(searchers)))
    return {s: _short(s) if shared[_short(s)] == 1 else s.split("/")[-1].replace(":", "\n") for s in searchers}


def _short(text: str) -> str:
    """The name of a task or searcher, without its settings or folder."""
    return name_of(text).split("/")[-1]


def figures(comparison: Comparison, folder: Path) -> list[Path]:
    """What a comparison says of convergence and of the starts, a set for each of its sections; where they are."""
    with drawing(SIZES["screen"]):
        each = [(named(s, d), d) for s in sections(comparison) for d in drawn(s, SIZES["screen"])]
        each += [*beyond(comparison, SIZES["screen"])]
        return [save(d, folder / f"{name}.png", headed=True) for name, d in each]


def drawn(section: Section, size: Size) -> Iterator[Drawn]:
    """Every figure that a section gives, within `drawing`."""
    for figure in FIGURES.values():
        if found := figure(section.rows, section.title, size):
            yield found


def beyond(comparison: Comparison, size: Size) -> Iterator[tuple[str, Drawn]]:
    """Ranks over tasks, and collapse against search, a figure a context, with their files' names; within `drawing`."""
    if found := over_tasks(comparison, size):
        yield f"ranks-tasks-{_digest([*comparison.runs.task.unique()])}", found
    for title, points in contexts(comparison.collapse.points):
        if found := scatter(points, title, size):
            yield f"collapse-{_task(points.task.iloc[0])}-{_digest([title, *points.weights])}", found


def over_tasks(comparison: Comparison, size: Size) -> Drawn | None:
    """Mean ranks whose blocks are tasks."""
    rows = comparison.tasks
    if rows.empty:
        return None
    return critical_difference(rows.assign(how=named_ways(rows, comparison.by)), "Over tasks", size, "tasks")


def plots(
    comparison: Comparison, spaces: Sequence[Measured], folder: Path, formats: Sequence[str], width: str
) -> Iterator[Path]:
    """The same figures for a paper, each in every format, and their captions; where they are.

    Raises:
        vae.errors.UnusableError: they cannot be written.
    """
    captions, size = [], SIZES[width]
    with drawing(size):
        each = [(named(s, d), d) for s in sections(comparison) for d in drawn(s, size)]
        each += [*beyond(comparison, size)]
        if spaces:
            each.append(("activity", activity(bars(spaces), "Activity of latent dimensions", size)))
        for name, d in each:
            captions.append(f"{name}\n{d.title}. {d.caption}\n{d.seen}\n")
            yield from (save(d, folder / f"{name}.{f}") for f in formats)
    write_atomic(folder / "captions.txt", "\n".join(map(printable, captions)).encode(errors="replace"))
    yield folder / "captions.txt"


def bars(spaces: Sequence[Measured]) -> list[tuple[str, list[float]]]:
    """Each model's activity."""
    return [(m.model.name, m.metrics.activity) for m in spaces]


def named(section: Section, figure: Drawn) -> str:
    """A file without its ending; no two sets of models and searchers share one."""
    what = [section.title, *map(" ".join, section.lines()), *section.how.values()]
    return f"{figure.name}-{_task(section.named['task'])}-{_digest(what)}"


def _task(text: str) -> str:
    return file_part(_short(text))


def _digest(what: list) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:6]


def _of(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.searcher


def _activity(runs: Sequence[Record], checkpoints: dict[str, Path]) -> list[tuple[str, list[float]]]:
    """What the checkpoints' headers say of each model's activity."""
    headers = [(r.spec.model.name, checkpoint.read(checkpoints[r.spec.key])[1]) for r in runs]
    measured = [(name, h["metrics"]) for name, h in headers if isinstance(h.get("metrics"), dict)]
    return [(name, m["activity"]) for name, m in measured if _are_numbers(m.get("activity"))]


def _are_numbers(values: object) -> bool:
    """Whether a header says as much of its activity as can be drawn; anyone may have written it."""
    return isinstance(values, list) and bool(values) and all(type(v) is float for v in values)
