"""Summary of a comparison: a table and the answers, in at most 15 lines of 80 columns."""

import textwrap
from collections.abc import Sequence
from typing import Any

import pandas as pd

from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.united import SEVERAL, space_name
from lso_bench.files.sanitize import one_line
from lso_bench.plotting.numbers import in_words
from lso_bench.report.answers import (
    BEST,
    NAME,
    QUESTIONS,
    SPEED,
    STARTS,
    Question,
    answers,
    few_valid_texts,
    listed,
    p_text,
    titles,
)
from lso_bench.report.cells import MISSING, NO_RESULT, NO_TEXT, NO_TEXT_SAYS, interval_text, loss
from lso_bench.report.contests import (
    WITHOUT_TEST,
    Contest,
    contests,
    contests_over_tasks,
    from_first_start,
    has_starred_higher,
    starred,
    without_test,
)
from lso_bench.report.sections import Section, effort, labels_by_setup, searcher_labels, sections, task_names
from lso_bench.run_settings import PRIOR

WIDTH = 80  # columns
MOST = 15  # lines
LABEL = 8  # columns of the word before a line: Answer, Speed, ...
LONGEST = 3  # lines of an answer
FEWEST = 3  # rows of the table that always stay, with its heading
NOTES = 3  # notes, at most
NOT_COMPARED = f"{MISSING}: not compared with the others"
Rows = list[tuple[str, ...]]


def summary(comparison: Comparison, commands: Sequence[str] = ()) -> list[str]:
    """Return the lines of the summary; the last one names as many of `commands` as fit."""
    parts = [*sections(comparison)]
    if comparison.measures.empty:
        return ["No run has a result.", *_notes(comparison.notes, MOST - 1)]
    table, below, questions = _table(parts, comparison)
    medians = [] if questions is QUESTIONS else _medians(parts, comparison)
    labelled = [(q.label, answers(q, parts, comparison)) for q in questions]
    labelled += [("Texts", lines)] if (lines := few_valid_texts(parts)) else []
    free = MOST - 2 - 1 - min(1, len(comparison.notes))  # heading and blank line, commands, a note
    answered = _answered(labelled, free - len(table) - len(below))
    if len(table) + len(below) + len(answered) > free:
        room = max(free - len(answered) - len(below), FEWEST)
        table = [*table[: room - 1], f"  ... and {len(table) - room + 1} more: --all"]
        below = below[: max(0, free - len(answered) - len(table))]
    elif medians and len(medians) + 1 + len(table) + len(below) + len(answered) <= free:
        table = [*medians, "", *table]
    table += below
    notes = _notes(comparison.notes, max(1, free + 1 - len(table) - len(answered)))
    next_line = [f"{'Next':<{LABEL}}{_fitted(commands, width=WIDTH - LABEL)}"] * bool(commands)
    body = [*answered, *notes, *next_line]
    blank = [""] * (len(table) + len(body) + 3 <= MOST)
    return [_fitted(*_heading(parts)), "", *table, *blank, *body]


def _answered(labelled: Sequence[tuple[str, list[str]]], room: int) -> list[str]:
    """Return the answers in `room` lines if possible; each has at least one, and at most LONGEST.

    First goes what the questions after the first say of searchers, then the second and third lines of the last answers.
    """
    first_only = [(label, texts if i == 0 else texts[:1]) for i, (label, texts) in enumerate(labelled)]
    for kept in (labelled, first_only):
        texts = [(label * (i == 0), text) for label, of_question in kept for i, text in enumerate(of_question)]
        lengths = [len(_wrapped(*text, LONGEST)) for text in texts]
        if sum(lengths) <= room or kept is first_only:
            break
    while sum(lengths) > room and max(lengths, default=1) > 1:
        lengths[max(range(len(lengths)), key=lambda i: (lengths[i], i))] -= 1
    return [line for text, n in zip(texts, lengths, strict=True) for line in _wrapped(*text, n)]


def _heading(parts: Sequence[Section]) -> tuple[list[str], list[str]]:
    """Return the parts of the heading: task and instances, latent space, searcher, effort, training seeds.

    A second list has those that are left out first where a line has no room.
    """
    tasks = [*dict.fromkeys(task_names(parts))]
    spaces = [*dict.fromkeys(space_name(part.context["arch"], part.context["latent"], "=") for part in parts)]
    if len(parts) > 1:
        runs = sum(int(part.runs.runs.sum()) for part in parts)
        return [listed(tasks, 3) if len(tasks) < 4 else f"{len(tasks)} tasks", listed(spaces, 2), f"{runs} runs"], []
    part = parts[0]
    models, labels = part.models, part.searcher_labels
    named = [*models * (len(models) == 1), *labels * (len(labels) == 1)]
    limits = part.runs[["max_steps", "budget"]].drop_duplicates()
    trainings = int(part.runs.trainings.max())
    coordinates = [f"space {s}" for s in part.runs.space.unique() if s != PRIOR] * (part.runs.space.nunique() == 1)
    efforts = [effort(limits.iloc[0].to_dict())] * (len(limits) == 1)
    seeds = f"{trainings} training seed{'s' * (trainings != 1)}"
    texts = [f"{tasks[0]}{_sizes(part)}", spaces[0], *named, *coordinates, *efforts, seeds]
    return texts, [*coordinates, *efforts, *named, spaces[0]]


def _sizes(part: Section) -> str:
    """Return how many instances, or starts, the comparisons are of, in brackets; empty if none is of more than one."""
    compared = [c for factor in ("model", "searcher") for c in from_first_start(contests(part, factor, "loss"))]
    largest = max(compared, key=lambda c: c.n, default=None)
    if largest is None or largest.n < 2:
        return ""
    sizes = [c.n for c in compared if c.unit == largest.unit]
    return f" ({' to '.join(dict.fromkeys(map(str, (min(sizes), max(sizes)))))} {largest.unit})"


def _table(parts: Sequence[Section], comparison: Comparison) -> tuple[list[str], list[str], Sequence[Question]]:
    """Return the lines of the table, the lines below that explain it, and the questions that it leaves to answer.

    It has the losses of one section, or the ranks over tasks, or the answers of each setting.
    """
    if len(parts) == 1:
        lines, hidden = _aligned(_losses(parts[0]))
        return lines, [*hidden, *_remark(parts[0])], QUESTIONS
    for factor in ("model", "searcher"):
        if compared := from_first_start(contests_over_tasks(comparison, factor, "loss")):
            if len(compared) == 1 or any(c.is_tested for c in compared):
                return *_with_legend(_ranks(compared, factor, parts, comparison), len(compared) > 1), QUESTIONS
            return *_aligned(_settings(parts, comparison)), (SPEED, STARTS)
    return *_aligned(_settings(parts, comparison)), ()


def _losses(part: Section) -> Rows:
    """Return a row for each model or searcher, or a matrix of both."""
    models, labels = part.models, part.searcher_labels
    if len(models) > 1 and len(labels) > 1:
        return _matrix(part)
    factor = "searcher" if len(labels) > 1 else "model"
    compared = from_first_start(contests(part, factor, "loss"))
    if len(models) == len(labels) == 1:
        starts = part.rows("loss").to_dict("records")
        rows = [(r["start"], _loss(part, r), _interval(r["low"], r["high"])) for r in starts]
        return [("start", "final loss", "95 % CI"), *rows]
    rows: Rows = [(factor, "final loss", "vs best, paired (95 % CI)", "wins", "p")]
    for contest in compared:
        for name in contest.names:
            rows.append((name, _median(part, *_place(factor, name, part)), *_against_best(contest, name)))
    shown = {row[0] for row in rows}
    for name in [n for n in (labels if factor == "searcher" else models) if n not in shown]:
        rows.append((name, _median(part, *_place(factor, name, part)), "not compared", "", ""))
    return rows


def _place(factor: str, name: str, part: Section) -> tuple[str, str]:
    """Return model and searcher of a contestant where there is one of the other kind."""
    return (name, part.searcher_labels[0]) if factor == "model" else (part.models[0], name)


def _matrix(part: Section) -> Rows:
    """Return medians by model and searcher; a star marks the models not significantly worse than a searcher's best.

    A question mark stands beside a median that is not compared with the others of its searcher. Searchers are columns,
    or rows where only so all have room.
    """
    labels, marks = part.searcher_labels, {"*": starred(part), "?": without_test(part)}
    rows: Rows = [("final loss", *(f"{label} " for label in labels))]
    for m in part.models:
        marked = [next((k for k, models in marks.items() if m in models.get(s, ())), " ") for s in labels]
        medians = [_median(part, m, s) for s in labels]
        pairs = zip(medians, marked, strict=True)
        rows.append((m, *(f"{median}{mark}" if median else f"{MISSING} " for median, mark in pairs)))
    return _turned(rows) if _width(rows) > WIDTH and _width(_turned(rows)) < _width(rows) else rows


def _turned(rows: Rows) -> Rows:
    """Return a matrix with its columns as rows."""
    (corner, *names), *lines = [[row[0].rstrip(), *row[1:]] for row in zip(*rows, strict=True)]
    return [(corner, *(f"{name} " for name in names)), *map(tuple, lines)]


def _width(rows: Rows) -> int:
    """Return the columns of the screen that a table needs."""
    return sum(max(map(len, column)) + 2 for column in zip(*rows, strict=True))


def _remark(part: Section) -> list[str]:
    """Return a line below the matrix where stars and medians seem to disagree, and one where losses are marked."""
    is_matrix = len(part.models) > 1 and len(part.searcher_labels) > 1
    lines = ["  *: a test of pairs, not of medians; here a starred median is the higher one"] * (
        is_matrix and has_starred_higher(part)
    )
    matrix: Rows = _matrix(part) if is_matrix else []
    cells = {cell[-1] for row in matrix[1:] for cell in row[1:]}
    if "?" in cells:
        is_turned = matrix[0][1].rstrip() in part.models
        lines.append(f"  {WITHOUT_TEST.replace('column', 'row') if is_turned else WITHOUT_TEST}")
    if any(cell == f"{MISSING} " for row in matrix[1:] for cell in row[1:]):
        lines.append(f"  {NO_RESULT}")
    is_marked = any(NO_TEXT in _median(part, m, label) for m in part.models for label in part.searcher_labels)
    return [*lines, *[f"  {NO_TEXT_SAYS}"] * is_marked]


def _with_legend(rows: Rows, is_of_ranks: bool) -> tuple[list[str], list[str]]:
    """Return the lines of a table, and those below it: what an empty place of it means."""
    has_gap = any(MISSING in row for row in rows[1:])
    lines, hidden = _aligned(rows)
    return lines, [*hidden, *[f"  {NOT_COMPARED if is_of_ranks else NO_RESULT}"] * has_gap]


def _ranks(compared: Sequence[Contest], factor: str, parts: Sequence[Section], comparison: Comparison) -> Rows:
    """Return the mean ranks over tasks, by context; of a single context and latent space also the medians of tasks."""
    names = [*dict.fromkeys(name for c in compared for name in c.names)]
    if len(compared) > 1:
        header = ("mean rank of final loss", *(c.context for c in compared))
        return [header, *((n, *(f"{c.ranks[n]:.2f}" if n in c.ranks else MISSING for c in compared)) for n in names)]
    spaces = {tuple(part.context[k] for k in ("arch", "latent", "device")) for part in parts}
    parts = parts if len(spaces) == 1 else []
    rows: Rows = [(factor, "mean rank", *titles(parts))]
    known = [_labels_inside(part, comparison.tasks, comparison.by) for part in parts]
    for n in names:
        context = compared[0].context
        place = (n, context) if factor == "model" else (context, n)
        medians = (_median(p, place[0], k.get(place[1], "")) for p, k in zip(parts, known, strict=True))
        rows.append((n, f"{compared[0].ranks[n]:.2f}", *(median or MISSING for median in medians)))
    return rows


def _labels_inside(part: Section, rows: pd.DataFrame, by: tuple[str, ...]) -> dict[str, str]:
    """Return the label that a section has for each searcher, by its label in rows of several tasks."""
    over_tasks = labels_by_setup(rows.assign(searcher_label=searcher_labels(rows, by)), by)
    inside = labels_by_setup(part.runs, by)
    return {label: inside[setup] for setup, label in over_tasks.items() if setup in inside}


def _settings(parts: Sequence[Section], comparison: Comparison) -> Rows:
    """Return the answers of each setting, a row a line."""
    rows: Rows = []
    named = zip(task_names(parts), parts, strict=True)
    places = [(t, *_latent_space(p), p.context["decoding"], p.context["device"]) for t, p in named]
    varying = [i for i, values in enumerate(zip(*places, strict=True)) if len({*values}) > 1] or [0]
    settings = [", ".join(filter(None, (place[i] for i in varying))) for place in places]
    width = WIDTH - 4 - min(NAME, max(map(len, settings)))
    for part, setting in zip(parts, settings, strict=True):
        texts = answers(BEST, [part], comparison)
        lines = [line for text in texts for line in textwrap.wrap(text, width, max_lines=3, placeholder=" …")]
        rows += [(setting * (i == 0), f"{line:<{width}}") for i, line in enumerate(lines)]
    return rows


def _medians(parts: Sequence[Section], comparison: Comparison) -> list[str]:
    """Return the lines of a table of the median final losses in several sections; empty if it has no room in width.

    A row is a section, or a model in it; a column is a searcher, or a model where the searcher is the same.
    """
    models = [*dict.fromkeys(model for part in parts for model in part.models)]
    rows = pd.concat([part.rows("loss") for part in parts], ignore_index=True)
    known = [_labels_inside(part, rows, comparison.by) for part in parts]
    labels = [*dict.fromkeys(label for inside in known for label in inside)]
    names, places = titles(parts), [*zip(parts, known, strict=True)]
    if len(labels) == 1 or len(models) == 1:
        pairs = [(m, label) for m in models for label in labels]
        heads = models if len(labels) == 1 else labels
        cells = [[_median(part, m, inside.get(label, "")) for m, label in pairs] for part, inside in places]
    else:
        longest = max(map(len, names))
        heads, cells = labels, []
        names = [f"{name:<{longest}}  {m}" for name, part in zip(names, parts, strict=True) for m in part.models]
        for part, inside in places:
            cells += [[_median(part, m, inside.get(label, "")) for label in labels] for m in part.models]
    lines, hidden = _aligned(
        [
            ("final loss", *heads),
            *((name, *(c or MISSING for c in row)) for name, row in zip(names, cells, strict=True)),
        ]
    )
    has_gap = any(not cell for row in cells for cell in row)
    return [] if hidden else [*lines, *[f"  {NO_RESULT}"] * has_gap]


def _latent_space(part: Section) -> tuple[str, str]:
    """Return the architecture and the dimensions of a section; without dimensions where models differ in them."""
    arch, latent = part.context["arch"], part.context["latent"]
    return arch, "" if arch == SEVERAL else f"d={latent}"


def _against_best(contest: Contest, name: str) -> tuple[str, ...]:
    """Return difference to the best, wins and p of a contestant."""
    if name == contest.best:
        return "best", "", ""
    difference, wins = contest.differences[name], contest.wins[name]
    bounds = _interval(difference["low"], difference["high"])
    within = f" {bounds}" * bool(bounds)
    estimate = f"{'+' * (difference['estimate'] >= 0)}{in_words(difference['estimate'])}{within}"
    return estimate, f"{wins['estimate']:.0%}", f"{p_text(contest.p(name))}{' *' if name in contest.worse else '  '}"


def _interval(low: float, high: float) -> str:
    """Format an interval; empty if it is undefined."""
    text = interval_text(low, high, in_words).replace(" .. ", ", ")
    return f"({text})" * bool(text)


def _median(part: Section, model: str, label: str) -> str:
    """Return the median final loss as a text; empty if there is none."""
    row = {"model": model, "searcher_label": label, "start": part.first_start}
    return _loss(part, row | {"median": part.median_loss(model, label)})


def _loss(part: Section, row: dict[str, Any]) -> str:
    """Return the median of a row as a text, marked if most of its searches saw no valid text; empty if undefined."""
    return loss(row["median"], part.lacks_text(row), in_words, undefined="").text


def _notes(notes: Sequence[str], room: int) -> list[str]:
    """Return the first notes in at most so many lines, and the number of the others."""
    lines: list[str] = []
    shown = 0
    for note in notes[:NOTES]:
        if len(lines) < room:
            lines += _wrapped("Note" * (not shown), note, min(2, room - len(lines)))
            shown += 1
    if len(notes) > shown:
        suffix = f" (+{len(notes) - shown} more: --all)"
        lines[-1] = one_line(lines[-1], WIDTH - len(suffix)) + suffix
    return lines


def _wrapped(label: str, text: str, most: int) -> list[str]:
    """Return at most so many lines of a labelled text."""
    first, indent = f"{label:<{LABEL}}", " " * LABEL
    return textwrap.wrap(
        one_line(text), WIDTH, initial_indent=first, subsequent_indent=indent, max_lines=most, placeholder=" …"
    )


def _fitted(texts: Sequence[str], spare: Sequence[str] = (), width: int = WIDTH) -> str:
    """Return as many texts as fit a line; those that are `spare` are left out first, in their order."""
    kept = [*texts]
    for text in [*spare, *reversed([t for t in texts[1:] if t not in spare])]:
        if len(" · ".join(kept)) <= width:
            break
        kept.remove(text)
    return one_line(" · ".join(kept), width)


def _aligned(rows: Rows) -> tuple[list[str], list[str]]:
    """Return rows as lines: the first column to the left, the others to the right, as many as there is room for.

    A second list counts the columns without room.
    """
    names, *rest = zip(*rows, strict=True)
    fitted = [_fitting([[one_line(name, longest) for name in names], *rest]) for longest in (WIDTH // 2, NAME)]
    columns, shown = max(fitted, key=lambda fit: fit[1])
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for first, *cells in zip(*columns[:shown], strict=True):
        figures = (f"{c:>{w}}" for c, w in zip(cells, widths[1:], strict=False))
        lines.append("  ".join(["", f"{first:<{widths[0]}}", *figures]).rstrip())
    hidden = len(columns) - shown
    return lines, [f"  ... and {hidden} more column{'s' * (hidden > 1)}: --all"] * bool(hidden)


def _fitting(columns: list[Sequence[str]]) -> tuple[list[Sequence[str]], int]:
    """Return columns, and how many of them there is room for."""
    widths = [max(map(len, column)) + 2 for column in columns]
    return columns, next(n for n in range(len(columns), 0, -1) if sum(widths[:n]) <= WIDTH or n == 1)
