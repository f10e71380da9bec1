"""Tables of final losses, and of what was recorded beside them."""

import math
from collections.abc import Mapping
from typing import Any

from lso_bench.analysis.bootstrap import FEWEST
from lso_bench.analysis.comparison import PER_SEARCH
from lso_bench.analysis.united import SEVERAL
from lso_bench.plotting.numbers import fixed
from lso_bench.plugins.notation import name_of
from lso_bench.record import RETRIEVED, SHARES
from lso_bench.report.cells import NO_TEXT_SAYS, estimate, interval, loss, number, rounded, share
from lso_bench.report.row_heads import row_dicts, row_key
from lso_bench.report.sections import Section
from lso_bench.report.table import MODEL, SEARCHER, START, Cell, Table, columns
from lso_bench.search.controls import control

SHOWN_WITH_LOSSES = ("loss", "best", "norm")  # statistics of single searches
SAMPLES = {False: "image, Bernoulli pixels binarised at 0.5", True: "text"}  # by whether the task scores texts
TEXTS_SAY = (
    ". Of valid texts: novel, no training text; length in tokens; longer_than, the share of training texts that are "
    "shorter; similarity to the nearest training text"
)


def losses(section: Section) -> Table:
    """Return the table of final losses, a row per model, searcher and kind of start."""
    caption = (
        "n: searches (instances x searches of each). Bold: the lowest median of a kind of start, and those that are "
        "not told from it: the paired difference over instances, its median, has 0 in its 95 % interval. "
        "Nothing is bold without an interval"
    ) + _controls(section)
    texts = ("valid", "distinct") if section.scores_texts else ()
    if texts:
        caption += (
            ". Valid, distinct: of the evaluations, those of valid texts, and of texts that are new to their search"
        )
    rows = []
    for r in row_dicts(section.rows("loss")):
        lowest, norm = (section.row(m, r)["median"] for m in ("best", "norm"))
        median = loss(r["median"], section.lacks_text(r))._replace(best=_is_tied_with_best(section.row("behind", r)))
        quartiles = Cell(f"{rounded(r['q25'])} .. {rounded(r['q75'])}", r["q25"], bounds=(r["q25"], r["q75"]))
        mean = number(r["mean"], undefined="")  # undefined if a search was lost
        ends = mean, number(lowest), number(norm, lambda norm: fixed(norm, 1))
        searches = Cell(section.searches(r), r["n"])
        shares = (share(section.evaluated(k, r)) for k in texts)
        rows.append([*row_key(r), searches, median, *shares, interval(r["low"], r["high"]), quartiles, *ends])
    caption += f". {NO_TEXT_SAYS}" * any(section.lacks_text(r) for r in row_dicts(section.rows("loss")))
    ends_header = "95 % interval", "quartiles", "mean", "lowest seen, median", "|z|, median"
    header = "n", "median", *texts, *ends_header
    title, name = "Final loss (minus the score)", "Final loss"
    return Table(title, columns(MODEL, SEARCHER, START, *header), rows, caption, name)


def _controls(section: Section) -> str:
    """Return the sentence that names the controls of a section; empty if there are none."""
    names = sorted({name_of(s) for s in section.measures.searcher.unique() if control(s)})
    return f". Controls: {', '.join(f'{name} ({control(name)})' for name in names)}" if names else ""


def further(section: Section) -> Table:
    """Return the table of those statistics of single searches that no other table shows."""
    names = [name for name in PER_SEARCH if name not in SHOWN_WITH_LOSSES]
    rows = []
    for r in row_dicts(section.rows("loss")):
        measures = (section.row(name, r) for name in names)
        cells = [estimate(m["median"], m["low"], m["high"], rounded) for m in measures if m]
        rows += [[*row_key(r), number(r["n"], str), *cells]] if cells else []
    caption = "Median over searches (95 % interval)"
    return Table("Further statistics of a search", columns(MODEL, SEARCHER, START, "n", *names), rows, caption)


def _is_tied_with_best(gap: dict[str, Any]) -> bool:
    """Return whether no row is significantly better; false too where there is no interval, for want of instances."""
    return (gap["estimate"] == 0 and gap["n"] >= FEWEST) or gap["low"] <= 0 <= gap["high"]


def auxiliary(section: Section) -> Table:
    """Return the table of auxiliary measures, with a row where they were recorded."""
    auxiliary = [m.partition(":")[2] for m in section.measures.measure.unique() if m.startswith("beside:")]
    usual = section.measures[section.measures.measure.str.startswith("usual:")]
    tests = {r["measure"]: r["estimate"] for r in row_dicts(usual)}
    headings = [_auxiliary_heading(k, tests.get(f"usual:{k}", math.nan)) for k in auxiliary]
    has_u = len(section.rows("norm u")) > 0
    norm_heading, shell = _shell(section)
    caption = (
        f"{shell}. x: the decoded {SAMPLES[section.is_of_texts]}. Distinct: share of these x that differ"
        + " (pixels that are not Bernoulli: in 8-bit levels)" * (not section.is_of_texts)
        + ". u: the coordinates of the search (--space)" * has_u
        + f". Test: of test {'texts' if section.is_of_texts else 'images'}" * bool({*auxiliary} - {RETRIEVED})
        + "".join(f". {k}: share (95 % interval)" for k in SHARES if k in auxiliary)
        + " of samples, drawn without a teacher, that are nearest to the target of their search"
        * (RETRIEVED in auxiliary)
        + TEXTS_SAY * ("longer_than" in auxiliary)
    )
    rows = []
    for r in row_dicts(section.rows("distinct")):
        norm = section.row("norm", r)
        norms = (norm, *[section.row("norm u", r) or norm] * has_u, section.row("consistency", r))
        medians = (number(statistics.get("median")) for statistics in norms)
        values = (_auxiliary_cell(k, section.row(f"beside:{k}", r), r["n"]) for k in auxiliary)
        rows.append([*row_key(r), number(r["n"], str), *medians, share(r["estimate"]), *values])
    header = columns(MODEL, SEARCHER, START, "n", norm_heading, *["|u|"] * has_u, "|mu(x) - z|", "distinct", *headings)
    return Table("Beside the objective, medians", header, rows, caption, "Beside the objective")


def _shell(section: Section) -> tuple[str, str]:
    """Return the heading of |z| and what its caption says; models of several architectures may differ in d."""
    if section.context["arch"] == SEVERAL:
        return "|z|", "The prior's mass is at |z| = sqrt(d)"
    return f"|z| (shell {section.context['latent'] ** 0.5:.2g})", "Shell: sqrt(d), where the prior's mass is"


def _auxiliary_heading(name: str, usual: float) -> str:
    """Return the name of an auxiliary value, and in brackets that of test samples, or that at chance."""
    cell = share(usual) if name in SHARES else number(usual)
    return f"{name} ({'chance' if name == RETRIEVED else 'test'} {cell.text})"


def _auxiliary_cell(name: str, row: Mapping[str, Any], searches: int) -> Cell:
    """Return an auxiliary value; of a share with its interval, and with n where some older searches lack it."""
    value = row.get("estimate", math.nan)
    if name not in SHARES:
        return number(value)
    cell = estimate(value, row.get("low", math.nan), row.get("high", math.nan), "{:.0%}".format)
    return cell._replace(text=f"{cell.text}, n = {row['n']:g}") if row and row["n"] != searches else cell
