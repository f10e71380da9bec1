"""Tables of the runs that a comparison is based on, and of what they cost."""

import math

from lso_bench.analysis.groups import PHASES, SPENT, TEXT_COLUMNS
from lso_bench.plotting.numbers import count
from lso_bench.report.cells import number, share, word
from lso_bench.report.row_heads import row_dicts, row_head
from lso_bench.report.sections import Section
from lso_bench.report.table import MODEL, SEARCHER, Column, Table, columns


def runs(section: Section) -> Table:
    """Return the table of runs that the rows of other tables are based on."""
    counted = "runs", "failed", "diverged", "searches", "censored"
    ended, epochs, code = (Column(name, is_text=True) for name in ("ended by", "epochs", "code"))
    caption = "Censored: searches that ended without a finite loss. Steps, evaluations: the budget of a problem. "
    caption += "Epochs: of the model's training, and the one of the lowest -ELBO"
    texts = [*section.runs.reindex(columns=TEXT_COLUMNS).dropna(axis=1, how="all")]
    caption += ". Texts: of the evaluations, median of runs; distinct: new to their search" * bool(texts)
    rows = []
    for r in row_dicts(section.runs):
        limits = number(r["max_steps"], str), number(r["budget"], "{:g}".format), *(share(r[k]) for k in texts)
        counts = (number(r[k], str) for k in counted)
        rows.append([*row_head(r), *counts, word(r["ended"]), *limits, word(r["epochs"]), word(r["code"])])
    header = columns(MODEL, SEARCHER, *counted, ended, "steps", "evaluations", *texts, epochs, code)
    return Table("Runs", header, rows, caption)


def costs(section: Section) -> Table:
    """Return the table of a run's costs beyond its steps."""
    samples = "texts" if section.is_of_texts else "images"
    header = ("evaluations", "gradients", f"decoded {samples}", *(f"{k}, s" for k in PHASES))
    caption = (
        "Medians of runs, all problems of a run side by side. Seconds are those of the machine that did it; fit: of a "
        "surrogate, propose: all else that the searcher does"
    )
    rows = []
    for r in row_dicts(section.runs):
        if not math.isnan(r["spent total"]):
            spent = (number(r[f"spent {k}"], count, undefined="") for k in SPENT)
            seconds = (number(r[f"spent {k}"], undefined="") for k in PHASES)
            rows.append([*row_head(r), *spent, *seconds])
    return Table("What a run took", columns(MODEL, SEARCHER, *header), rows, caption)
