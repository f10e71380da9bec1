"""First screen of the HTML page: the answers, the matrix of medians, and how sure they are."""

from dataclasses import dataclass

from lso_bench.analysis.comparison import Comparison
from lso_bench.plotting.numbers import in_words
from lso_bench.report import cells
from lso_bench.report.contests import WITHOUT_TEST, has_starred_higher, starred, without_test
from lso_bench.report.findings import counted
from lso_bench.report.full_answers import Answered, answered
from lso_bench.report.sections import Section
from lso_bench.report.table import MODEL, Table, columns


@dataclass(frozen=True)
class Answers:
    """Answers of a section to each question, and the table that they are read from."""

    title: str  # short
    questions: Answered
    medians: Table
    certainty: str


def section_answers(section: Section, comparison: Comparison) -> Answers:
    """Return what the first screen says of a section; the sentences are those of the summary in the terminal."""
    return Answers(section.short_title, answered([section], comparison), _medians(section), _certainty(section))


def _medians(section: Section) -> Table:
    """Return the median final losses, a row a model and a column a searcher."""
    top, alone, rows = starred(section), without_test(section), []
    for m in section.models:
        medians = []
        for label in section.searcher_labels:
            is_best = m in top.get(label, ())
            row = {"model": m, "searcher_label": label, "start": section.first_start}
            cell = cells.loss(section.median_loss(m, label), section.lacks_text(row), in_words, undefined="")
            mark = " *" if is_best else " ?" if cell.text and m in alone.get(label, ()) else ""
            medians.append(cell._replace(text=f"{cell.text or cells.MISSING}{mark}", best=is_best))
        rows.append([cells.model(m), *medians])
    caption = f"Median of the final loss, minus the score, from {section.first_start} starts: lower is better"
    if top:
        caption += ". *: the best model of a column, and those that are not significantly worse on the same instances"
    if any(cell.text.endswith(" ?") for row in rows for cell in row):
        caption += f". {WITHOUT_TEST}"
    if any(cell.text == cells.MISSING for row in rows for cell in row):
        caption += f". {cells.NO_RESULT}"
    if has_starred_higher(section):
        caption += ". The test is of pairs, not of medians: here a starred median is higher than one without a star"
    if any(cells.NO_TEXT in cell.text for row in rows for cell in row):
        caption += f". {cells.NO_TEXT_SAYS}"
    return Table("Medians of the final loss", columns(MODEL, *section.searcher_labels), rows, caption)


def _certainty(section: Section) -> str:
    """Return what the answers rest on: instances, training seeds, and starts of each instance."""
    runs, losses = section.runs, section.rows("loss")
    instances, trainings = int(runs.instances.max()), int(runs.trainings.max())
    keys = ["model", "searcher_label"]
    of_runs = runs.groupby(keys)
    searches = losses.groupby(keys).n.sum() / (of_runs.instances.max() * of_runs.trainings.max())
    few, many = int(searches.min()), int(searches.max())
    number = f"{few}" if few == many else f"{few} to {many}"
    return (
        f"{counted(instances, 'instance')}, {counted(trainings, 'training seed')}, "
        f"{number} search{'es' * (many != 1)} of each instance in a training. "
    ) + "All this is about these trained models: another training is another model."
