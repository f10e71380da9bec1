"""Table of the texts that searches found, the best of each model and searcher."""

import math
from collections.abc import Iterator
from typing import Any

from lso_bench.report.cells import EMPTY, model, number, share, word
from lso_bench.report.sections import Section
from lso_bench.report.table import LINE, MODEL, SEARCHER, Cell, Column, Table, columns

TEXT = Column("best valid text", is_text=True)
NEAREST = Column("nearest training text", is_text=True)
NONE = "none valid"
CAPTION = (
    "The best valid text of all searches of a row; higher scores are better. Found by: share of its searches that saw "
    "a valid text. Novel: it is no training text. Length in tokens; longer than: share of training texts that are "
    "shorter. Similarity: to the nearest training text, as the task measures it"
)


def best_texts(section: Section) -> Table:
    """Return the table of a section; it has no rows where no texts were recorded."""
    header = columns(
        MODEL, SEARCHER, TEXT, "score", "found by", "novel", "length", "longer than", "similarity", NEAREST
    )
    return Table("Best texts", header, [[*_row(r)] for r in section.texts.to_dict("records")], CAPTION)


def _row(row: dict[str, Any]) -> Iterator[Cell]:
    yield from (model(row["model"]), word(row["searcher_label"]))
    yield _text(row["text"]) if not math.isnan(row["score"]) else word(NONE)
    yield from (number(row["score"]), share(row["found"]))
    yield _yes_or_no(row["novel"])
    yield from (number(row["length"], "{:g}".format, undefined=""), _share(row["longer_than"]))
    yield number(row["similarity"], "{:.2f}".format, undefined="")
    yield _text(row["nearest"])


def _text(text: str) -> Cell:
    return Cell(text, text, longest=LINE)


def _share(value: float) -> Cell:
    """Return a share in whole percent that it reaches: 99.9 % is not 100 %."""
    return EMPTY if math.isnan(value) else Cell(f"{math.floor(100 * value + 1e-9)}%", value)


def _yes_or_no(value: float) -> Cell:
    return EMPTY if math.isnan(value) else Cell("yes" if value else "no", value)
