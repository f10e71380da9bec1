"""Answers of a comparison with all names in full, where there is room: on the page, and above all tables."""

import textwrap
from collections.abc import Sequence

from lso_bench.analysis.comparison import Comparison
from lso_bench.report.answers import QUESTIONS, answers, by_section, few_valid_texts, names_in_full
from lso_bench.report.sections import Section, sections

LABEL = 8  # columns of the word before an answer: Answer, Speed, ...
WIDTH = 100  # columns
Answered = list[tuple[str, list[str]]]  # label of each question, and its sentences


def answered(parts: Sequence[Section], comparison: Comparison) -> Answered:
    """Return the sentences of each question; they begin with a capital, unless with a name."""
    names = tuple(name for part in parts for name in (*part.models, *part.searcher_labels))
    with names_in_full():
        questions = [(q.label, answers(q, parts, comparison)) for q in QUESTIONS]
        questions += [("Texts", lines)] if (lines := few_valid_texts(parts)) else []
    return [(label, [t if t.startswith(names) else t[:1].upper() + t[1:] for t in texts]) for label, texts in questions]


def over_tasks(parts: Sequence[Section], comparison: Comparison) -> Answered:
    """Return the answers over tasks, if several tasks share models or searchers, and are enough to be compared."""
    if comparison.tasks.empty or by_section(QUESTIONS[0], parts, comparison):
        return []
    return answered(parts, comparison)


def text(comparison: Comparison) -> str:
    """Return the answers over tasks, then those of each section, below its title."""
    parts = [part for part in sections(comparison) if len(part.measures)]
    titled = [
        ("Over tasks", over_tasks(parts, comparison)),
        *((p.short_title, answered([p], comparison)) for p in parts),
    ]
    blocks = ["\n".join([title, *_lines(questions)]) for title, questions in titled if questions]
    return "\n\n".join(blocks)


def _lines(questions: Answered) -> list[str]:
    """Return the sentences of each question behind its label, wrapped."""
    labelled = [(label * (i == 0), sentence) for label, texts in questions for i, sentence in enumerate(texts)]
    return [
        textwrap.fill(sentence, WIDTH, initial_indent=f"{label:<{LABEL}}", subsequent_indent=" " * LABEL)
        for label, sentence in labelled
    ]
