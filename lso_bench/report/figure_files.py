"""Figure files of a set of runs."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.curves import with_curves
from lso_bench.analysis.table import SECTION_KEYS
from lso_bench.analysis.united import united
from lso_bench.errors import UnusableError
from lso_bench.files.atomic_write import write_atomic
from lso_bench.files.sanitize import file_part, printable
from lso_bench.models.measurements import Measured
from lso_bench.plotting import images as draw
from lso_bench.plotting.activity import activity
from lso_bench.plotting.style import SIZES, CaptionedFigure, Size, save, style_context
from lso_bench.plugins.notation import name_of, short_name
from lso_bench.record import Record, holds_images
from lso_bench.report.figures.collapse import scatter, settings
from lso_bench.report.figures.rank_tests import critical_difference
from lso_bench.report.renderers.markdown import plain_rows
from lso_bench.report.section_figures import SECTION_KINDS, section_figures
from lso_bench.report.sections import Section, searcher_labels, sections
from lso_bench.report.text_tables import best_texts
from lso_bench.report.trainings import bars
from lso_bench.store.store import Store
from lso_bench.vae import checkpoint
from lso_bench.vae.datasets import is_ink
from lso_bench.vae.objectives import OBJECTIVES

KINDS = (*SECTION_KINDS, "collapse", "activity")  # kinds of figure


def pictures(
    store: Store, records: Sequence[Record], checkpoints: dict[str, Path], comparison: Comparison
) -> list[Path]:
    """Write all pictures of runs: reconstructions, activity, best images or texts, and figures; return their paths.

    Reconstructions and activity are drawn for each task and searcher, from the first of several seeds.

    Args:
        checkpoints: weights of each run, by the run's key.
        comparison: the comparison of `records`.
    """
    written = []
    started = (r for r in records if any(m.steps for m in r.members))  # some runs fail at once
    usable = sorted(started, key=_task_and_searcher)
    for (task, searcher), searcher_runs in groupby(usable, key=_task_and_searcher):
        first_runs = {r.spec.model: r for r in sorted(searcher_runs, key=lambda r: r.spec.seeds.init, reverse=True)}
        runs = sorted(first_runs.values(), key=lambda r: [x.spec.key for x in records].index(r.spec.key))
        name_parts = [short_name(task), name_of(searcher), *dict.fromkeys(short_name(r.spec.model.name) for r in runs)]
        file_name = _file_name(name_parts, runs)
        readable = [(r, tensors) for r in runs if (tensors := store.tensors(r.spec)) is not None]
        if readable and "targets" in readable[0][1] and all(holds_images(t) for _, t in readable):
            path = store.folder / "pictures" / f"images-{file_name}"
            written.append(draw.reconstructions(path, [r for r, _ in readable], [tensors for _, tensors in readable]))
        if bars := _stored_activity(runs, checkpoints):
            written.append(draw.activity(store.folder / "pictures" / f"activity-{file_name}", bars))
    written += [*_best_image_files(store, usable), *_text_files(store.folder / "pictures", comparison)]
    drawn = with_curves(comparison, united(records), lambda _: store)
    return [*written, *figures(drawn, store.folder / "pictures")]


def _best_image_files(store: Store, records: Sequence[Record]) -> Iterator[Path]:
    """Draw, for each task without target images, the best image of each searcher in each model over all runs."""
    for task, task_runs in groupby(records, key=lambda r: r.spec.task):
        runs = list(task_runs)
        if best := _best_by_searcher(store, runs):
            name_parts = [short_name(task), *dict.fromkeys(short_name(r.spec.model.name) for r in runs)]
            path = store.folder / "pictures" / f"found-{_file_name(name_parts, runs)}"
            short_names = _short_names([searcher for _, searcher in best])
            images = {
                (model, short_names[searcher]): image_and_score for (model, searcher), image_and_score in best.items()
            }
            title, ink = f"{task}: the best of each searcher and its score", is_ink(runs[0].spec.model.data)
            yield draw.best_images(path, title, images, ink)


def _text_files(folder: Path, comparison: Comparison) -> Iterator[Path]:
    """Write the best texts of each section to a text file."""
    for section in sections(comparison):
        if (table := best_texts(section)).rows:
            content = [*_content(section), *own_weights(comparison, section)]
            path = folder / f"found-{_task(section.context['task'])}-{_short_hash(content)}.txt"
            write_atomic(path, f"{section.title}\n\n{plain_rows(table)}\n\n{table.caption}.\n".encode())
            yield path


def _best_by_searcher(store: Store, runs: Sequence[Record]) -> dict[tuple[str, str], tuple[Tensor, float]]:
    """Return image and score by model and searcher, where a score is finite; empty if the runs have target images."""
    best: dict[tuple[str, str], tuple[Tensor, float]] = {}
    for r in runs:
        tensors, key = store.tensors(r.spec), (r.spec.model.name, r.spec.searcher)
        losses = torch.tensor([m.loss for m in r.members])
        scores = 0 - losses.where(losses.isfinite(), torch.inf)  # 0 - 0 is no -0
        index = int(scores.argmax())
        if (
            tensors
            and holds_images(tensors)
            and "targets" not in tensors
            and scores[index].isfinite()
            and (key not in best or scores[index] > best[key][1])
        ):
            best[key] = tensors["decoded"][index], scores[index].item()
    return best


def _file_name(names: Sequence[str], runs: Sequence[Record]) -> str:
    """Return a file name that no other set of runs has."""
    keys = hashlib.sha256("".join(r.spec.key for r in runs).encode()).hexdigest()[:6]
    return f"{file_part('-'.join(names))}-{keys}.png"


def _short_names(searchers: Sequence[str]) -> dict[str, str]:
    """Return the short name of each searcher, with settings if another one shares it."""
    shared = Counter(map(short_name, dict.fromkeys(searchers)))
    return {
        s: short_name(s) if shared[short_name(s)] == 1 else s.split("/")[-1].replace(":", "\n").replace(",", ", ")
        for s in searchers
    }


def figures(comparison: Comparison, folder: Path) -> list[Path]:
    """Write the figures of a comparison, a set per section, and return their paths."""
    with style_context(SIZES["screen"]):
        named_figures = [*_named_figures(comparison, SIZES["screen"])]
        return [save(d, folder / f"{name}.png", with_title=True) for name, d in named_figures]


def _named_figures(
    comparison: Comparison, size: Size, kinds: Sequence[str] = KINDS
) -> Iterator[tuple[str, CaptionedFigure]]:
    """Yield the figures of each section, then those of the comparison, with file names; within `style_context`."""
    for section in sections(comparison):
        weights = own_weights(comparison, section)
        yield from ((named(section, figure, weights), figure) for figure in section_figures(section, size, kinds))
    yield from comparison_figures(comparison, size, kinds)


def comparison_figures(
    comparison: Comparison, size: Size, kinds: Sequence[str] = KINDS
) -> Iterator[tuple[str, CaptionedFigure]]:
    """Yield mean ranks over tasks, and collapse against search per context, with file names; within `style_context`."""
    for title, content, figure in _across_sections(comparison, size, kinds):
        task = title if figure.name == "ranks" else _task(content[0])
        yield f"{figure.name}-{task}-{_short_hash(content)}", figure


def _across_sections(
    comparison: Comparison, size: Size, kinds: Sequence[str]
) -> Iterator[tuple[str, list[str], CaptionedFigure]]:
    """Yield mean ranks over tasks, and collapse against search per context, each with a title and what it is of."""
    if "ranks" in kinds and (figure := over_tasks(comparison, size)):
        yield "tasks", [*comparison.runs.task.unique()], figure
    for title, points in settings(comparison.collapse.checkpoint_table) if "collapse" in kinds else ():
        if figure := scatter(points, title, size):
            section = points[[*SECTION_KEYS]].iloc[0].map(str)
            yield title, [*section, *points.weights], figure


def over_tasks(comparison: Comparison, size: Size) -> CaptionedFigure | None:
    """Draw mean ranks with tasks as blocks."""
    rows = comparison.tasks
    if rows.empty:
        return None
    labelled = rows.assign(searcher_label=searcher_labels(rows, comparison.by))
    return critical_difference(labelled, "Mean ranks over tasks", size, "tasks")


def plots(
    comparison: Comparison,
    spaces: Sequence[Measured],
    folder: Path,
    formats: Sequence[str],
    width: str,
    kinds: Sequence[str] = KINDS,
) -> Iterator[Path]:
    """Write the same figures for a paper, in every format, each with its caption in a file; yield their paths.

    Files are named by kind, task and what else tells sections apart. So a figure that is drawn again, of more runs,
    replaces the one before.

    Args:
        kinds: which ones, of KINDS.

    Raises:
        WriteError: a file cannot be written.
        UnusableError: the results have nothing for these figures.
    """
    size, is_empty = SIZES[width], True
    with style_context(size):
        for name, drawn in _plots(comparison, spaces, size, kinds):
            is_empty = False
            yield from (save(drawn, folder / f"{name}.{f}") for f in formats)
            lines = [f"{drawn.title}. {drawn.caption}", drawn.alt_text, drawn.searchers]
            text = "\n\n".join(printable(line) for line in lines if line)
            write_atomic(folder / f"{name}.txt", f"{text}\n".encode(errors="replace"))
            yield folder / f"{name}.txt"
    if is_empty:
        raise UnusableError(f"These results have nothing for the figures {', '.join(kinds)}.")


def _plots(
    comparison: Comparison, spaces: Sequence[Measured], size: Size, kinds: Sequence[str]
) -> Iterator[tuple[str, CaptionedFigure]]:
    """Yield the figures for a paper with their file names, which are those of the sections."""
    parts = [*sections(comparison)]
    words = _words_of_titles([part.short_title for part in parts])
    for section, text in zip(parts, words, strict=True):
        yield from ((f"{figure.name}-{text}", figure) for figure in section_figures(section, size, kinds))
    across = [*_across_sections(comparison, size, kinds)]
    words = _words_of_titles([title for title, _, _ in across])
    yield from ((f"{figure.name}-{text}", figure) for text, (_, _, figure) in zip(words, across, strict=True))
    if spaces and "activity" in kinds:
        yield "activity", activity(bars(spaces), "Activity of latent dimensions", size)


def _words_of_titles(titles: Sequence[str]) -> list[str]:
    """Return each title as a part of a file name that LaTeX takes, too: letters, digits, hyphens and underscores.

    Titles that differ in other characters alone have a hash.
    """
    words = [re.sub(r"[^\w-]+", "-", t.replace(" = ", "").replace(".", "_"), flags=re.ASCII).strip("-") for t in titles]
    shared = Counter(words)
    return [w if shared[w] == 1 else f"{w}-{_short_hash([t])}" for w, t in zip(words, titles, strict=True)]


def named(section: Section, figure: CaptionedFigure, weights: Sequence[str] = ()) -> str:
    """Return a file name without suffix that no other section's figure has, nor the figure of other `weights`."""
    return f"{figure.name}-{_task(section.context['task'])}-{_short_hash([*_content(section), *weights])}"


def own_weights(comparison: Comparison, section: Section) -> list[str]:
    """Return the hashes of the user's own models of a section, whose names stay when their weights change."""
    from_outside = [m for m in section.models if not OBJECTIVES.is_built_in(name_of(m.partition(" (")[0]))]
    rows = comparison.searches
    if not from_outside or rows.empty:
        return []
    return sorted({*rows[(rows.task == section.context["task"]) & rows.model.isin(from_outside)].weights})


def _content(section: Section) -> list[str]:
    return [section.title, *map(" ".join, section.lines()), *section.searcher_descriptions.values()]


def _task(text: str) -> str:
    return file_part(short_name(text))


def _short_hash(what: list) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:6]


def _task_and_searcher(record: Record) -> tuple[str, str]:
    return record.spec.task, record.spec.searcher


def _stored_activity(runs: Sequence[Record], checkpoints: dict[str, Path]) -> list[tuple[str, list[float]]]:
    """Return each model's activity from the headers of the checkpoints that are here."""
    trained = [(r.spec.model.name, checkpoints[r.spec.key]) for r in runs if not r.spec.model.external]
    headers = [(name, checkpoint.read(path)[1]) for name, path in trained if path.exists()]
    measured = [(name, h["metrics"]) for name, h in headers if isinstance(h.get("metrics"), dict)]
    return [(name, m["activity"]) for name, m in measured if _are_numbers(m.get("activity"))]


def _are_numbers(values: object) -> bool:
    """Return whether a header holds activity that can be drawn; anyone may have written it."""
    return isinstance(values, list) and bool(values) and all(type(v) is float for v in values)
