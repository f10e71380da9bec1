"""Tables of a comparison, section by section."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType

from lso_bench.analysis.bootstrap import FEWEST
from lso_bench.analysis.comparison import PER_SEARCH, Comparison
from lso_bench.analysis.groups import PHASES, SPENT, TEXT_COLUMNS
from lso_bench.analysis.start_sensitivity import BASIN_DISTANCE, BASIN_GAP
from lso_bench.analysis.united import SEVERAL
from lso_bench.analysis.variance import FACTORS
from lso_bench.plotting.numbers import count, fixed
from lso_bench.plugins.notation import name_of
from lso_bench.record import RETRIEVED, SHARES
from lso_bench.report import paired_tables
from lso_bench.report.cells import (
    EMPTY,
    NO_TEXT_SAYS,
    estimate,
    interval,
    interval_text,
    loss,
    model,
    number,
    rounded,
    share,
    word,
)
from lso_bench.report.renderers import latex as latex_renderer
from lso_bench.report.renderers import markdown as markdown_renderer
from lso_bench.report.renderers import terminal as terminal_renderer
from lso_bench.report.sections import Section, not_met, sections
from lso_bench.report.table import MODEL, SEARCHER, START, Cell, Column, Part, Table, columns
from lso_bench.report.text_tables import best_texts
from lso_bench.run_settings import PRIOR
from lso_bench.search.controls import control

SHOWN_WITH_LOSSES = ("loss", "best", "norm")  # statistics of single searches
TABLES = (  # names of tables
    *("final", "convergence", "targets", "starts", "variance", "cost", "models", "searchers", "tasks", "collapse"),
    *("images", "texts", "runs"),
)
LOWEST_LOSS = {"task": "that any compared search reached", "model": "that any search in the same trained model reached"}
SAMPLES = {False: "image, Bernoulli pixels binarised at 0.5", True: "text"}  # by whether the task scores texts
IN_COORDINATES = (
    ". Distances are those of the coordinates of the search (--space), d in number: z in space prior, u in the others"
)
TEXTS_SAY = (
    ". Of valid texts: novel, no training text; length in tokens; longer_than, the share of training texts that are "
    "shorter; similarity to the nearest training text"
)
STARTS = Column("starts", is_text=True, is_key=True)


def terminal(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> RenderableType:
    """Render the tables of all sections for the terminal, then the notes.

    Args:
        cost: unit of costs to a target, one of `lso_bench.analysis.convergence.COSTS`.
        names: the tables to render, of TABLES; default: all.
    """
    return terminal_renderer.document(parts(comparison, cost, names), comparison.notes)


def markdown(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> str:
    """Render the tables as Markdown; with `names` only these, without the notes."""
    return markdown_renderer.document(parts(comparison, cost, names), () if names else comparison.notes)


def latex(comparison: Comparison, cost: str = "evaluations", names: Sequence[str] = ()) -> str:
    """Render the tables as LaTeX; with `names` only these, without the notes."""
    return latex_renderer.document(parts(comparison, cost, names), () if names else comparison.notes)


def parts(comparison: Comparison, cost: str, names: Sequence[str] = ()) -> Iterator[Part]:
    """Yield a part per section, with the tables of these names (default: all); empty tables are left out."""
    for section in sections(comparison):
        starts = ", ".join(section.rows("loss").start.unique())
        heading = f"{section.title} · starts {starts}" if starts else section.title
        descriptions = [*dict.fromkeys(section.searcher_descriptions.values())]
        if shown := section_tables(section, comparison.targets, cost, names):
            yield Part(heading, descriptions, shown)
    if not names or "tasks" in names:
        yield from paired_tables.over_tasks(comparison)
    if not names or "collapse" in names:
        yield from paired_tables.collapse(comparison.collapse)


def section_tables(section: Section, targets: str, cost: str = "evaluations", names: Sequence[str] = ()) -> list[Table]:
    """Return the tables of a section that have rows, by default all of them."""
    makers: dict[str, Callable[[], Iterable[Table]]] = {
        "runs": lambda: [_runs(section)],
        "final": lambda: [_losses(section), _further(section)],
        "images": lambda: [_auxiliary(section)],
        "texts": lambda: [best_texts(section)],
        "convergence": lambda: [_thresholds(section)],
        "targets": lambda: [_targets(section, targets, cost)],
        "starts": lambda: [_starts(section), _gaps(section)],
        "variance": lambda: [_variance(section)],
        "cost": lambda: [costs(section)],
        "models": lambda: paired_tables.contests(section, "model"),
        "searchers": lambda: paired_tables.contests(section, "searcher"),
    }
    return [t for name, make in makers.items() if not names or name in names for t in make() if t.rows]


def _runs(section: Section) -> Table:
    """Return the table of runs that the rows of other tables are based on."""
    counted = "runs", "failed", "diverged", "searches", "censored"
    ended, epochs, code = (Column(name, is_text=True) for name in ("ended by", "epochs", "code"))
    caption = "Censored: searches that ended without a finite loss. Steps, evaluations: the budget of a problem. "
    caption += "Epochs: of the model's training, and the one of the lowest -ELBO"
    texts = [*section.runs.reindex(columns=TEXT_COLUMNS).dropna(axis=1, how="all")]
    caption += ". Texts: of the evaluations, median of runs; distinct: new to their search" * bool(texts)
    rows = []
    for r in _rows(section.runs):
        limits = number(r["max_steps"], str), number(r["budget"], "{:g}".format), *(share(r[k]) for k in texts)
        counts = (number(r[k], str) for k in counted)
        rows.append([*_row_head(r), *counts, word(r["ended"]), *limits, word(r["epochs"]), word(r["code"])])
    header = columns(MODEL, SEARCHER, *counted, ended, "steps", "evaluations", *texts, epochs, code)
    return Table("Runs", header, rows, caption)


def costs(section: Section) -> Table:
    """Return the table of a run's costs beyond its steps."""
    samples = "texts" if section.scores_texts else "images"
    header = ("evaluations", "gradients", f"decoded {samples}", *(f"{k}, s" for k in PHASES))
    caption = (
        "Medians of runs, all problems of a run side by side. Seconds are those of the machine that did it; fit: of a "
        "surrogate, propose: all else that the searcher does"
    )
    rows = []
    for r in _rows(section.runs):
        if not math.isnan(r["spent total"]):
            spent = (number(r[f"spent {k}"], count, undefined="") for k in SPENT)
            seconds = (number(r[f"spent {k}"], undefined="") for k in PHASES)
            rows.append([*_row_head(r), *spent, *seconds])
    return Table("What a run took", columns(MODEL, SEARCHER, *header), rows, caption)


def _losses(section: Section) -> Table:
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
    for r in _rows(section.rows("loss")):
        lowest, norm = (section.row(m, r)["median"] for m in ("best", "norm"))
        median = loss(r["median"], section.lacks_text(r))._replace(best=_is_tied_with_best(section.row("behind", r)))
        quartiles = Cell(f"{rounded(r['q25'])} .. {rounded(r['q75'])}", r["q25"], bounds=(r["q25"], r["q75"]))
        mean = number(r["mean"], undefined="")  # undefined if a search was lost
        ends = mean, number(lowest), number(norm, lambda norm: fixed(norm, 1))
        searches = Cell(section.searches(r), r["n"])
        shares = (share(section.evaluated(k, r)) for k in texts)
        rows.append([*_row_key(r), searches, median, *shares, interval(r["low"], r["high"]), quartiles, *ends])
    caption += f". {NO_TEXT_SAYS}" * any(section.lacks_text(r) for r in _rows(section.rows("loss")))
    ends_header = "95 % interval", "quartiles", "mean", "lowest seen, median", "|z|, median"
    header = "n", "median", *texts, *ends_header
    title, name = "Final loss (minus the score)", "Final loss"
    return Table(title, columns(MODEL, SEARCHER, START, *header), rows, caption, name)


def _controls(section: Section) -> str:
    """Return the sentence that names the controls of a section; empty if there are none."""
    names = sorted({name_of(s) for s in section.measures.searcher.unique() if control(s)})
    return f". Controls: {', '.join(f'{name} ({control(name)})' for name in names)}" if names else ""


def _further(section: Section) -> Table:
    """Return the table of those statistics of single searches that no other table shows."""
    names = [name for name in PER_SEARCH if name not in SHOWN_WITH_LOSSES]
    rows = []
    for r in _rows(section.rows("loss")):
        measures = (section.row(name, r) for name in names)
        cells = [estimate(m["median"], m["low"], m["high"], rounded) for m in measures if m]
        rows += [[*_row_key(r), number(r["n"], str), *cells]] if cells else []
    caption = "Median over searches (95 % interval)"
    return Table("Further statistics of a search", columns(MODEL, SEARCHER, START, "n", *names), rows, caption)


def _is_tied_with_best(gap: dict[str, Any]) -> bool:
    """Return whether no row is significantly better; false too where there is no interval, for want of instances."""
    return (gap["estimate"] == 0 and gap["n"] >= FEWEST) or gap["low"] <= 0 <= gap["high"]


def _auxiliary(section: Section) -> Table:
    """Return the table of auxiliary measures, with a row where they were recorded."""
    auxiliary = [m.partition(":")[2] for m in section.measures.measure.unique() if m.startswith("beside:")]
    usual = section.measures[section.measures.measure.str.startswith("usual:")]
    tests = {r["measure"]: r["estimate"] for r in _rows(usual)}
    headings = [_auxiliary_heading(k, tests.get(f"usual:{k}", math.nan)) for k in auxiliary]
    has_u = len(section.rows("norm u")) > 0
    norm_heading, shell = _shell(section)
    caption = (
        f"{shell}. x: the decoded {SAMPLES[section.scores_texts]}. Distinct: share of these x that differ"
        + " (pixels that are not Bernoulli: in 8-bit levels)" * (not section.scores_texts)
        + ". u: the coordinates of the search (--space)" * has_u
        + f". Test: of test {'texts' if section.scores_texts else 'images'}" * bool({*auxiliary} - {RETRIEVED})
        + "".join(f". {k}: share (95 % interval)" for k in SHARES if k in auxiliary)
        + " of samples, drawn without a teacher, that are nearest to the target of their search"
        * (RETRIEVED in auxiliary)
        + TEXTS_SAY * ("longer_than" in auxiliary)
    )
    rows = []
    for r in _rows(section.rows("distinct")):
        norm = section.row("norm", r)
        norms = (norm, *[section.row("norm u", r) or norm] * has_u, section.row("consistency", r))
        medians = (number(statistics.get("median")) for statistics in norms)
        values = (_auxiliary_cell(k, section.row(f"beside:{k}", r), r["n"]) for k in auxiliary)
        rows.append([*_row_key(r), number(r["n"], str), *medians, share(r["estimate"]), *values])
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


def _thresholds(section: Section) -> Table:
    """Return the steps to each threshold: of single searches, and of the mean over the searches of a start."""
    measures = section.measures[section.measures.measure.isin(["iterations", "joint"])]
    limits = sorted(measures.threshold.unique(), reverse=True)
    title = "Steps until the loss falls by no more than the threshold: median (met by, of n searches or joint stops)"
    caption = (
        "∞: most did not, within a budget or a time limit; empty: not known, for problems left before the mean met it"
    )
    rows = []
    for _, line in measures.groupby(["model", "searcher_label", "start", "measure"], sort=False):
        by_threshold = {r["threshold"]: r for r in _rows(line)}
        first = next(iter(by_threshold.values()))
        stop = word("single" if first["measure"] == "iterations" else "joint")
        cells = (_steps(by_threshold[t]) if t in by_threshold else EMPTY for t in limits)
        rows.append([*_row_key(first), stop, *cells])
    header = columns(MODEL, SEARCHER, START, Column("stop", is_text=True, is_key=True), *(f"{t:g}" for t in limits))
    return Table(title, header, rows, caption, "Steps to converge")


def _targets(section: Section, targets: str, cost: str) -> Table:
    costs_to_targets, times = section.rows(cost), section.rows(f"aRT:{cost}")
    fractions = sorted(costs_to_targets.target.unique(), reverse=True)
    expected = {(*_key(r), r["target"]): r["estimate"] for r in _rows(times)}
    unit = f"{cost.capitalize()}{' (of all problems of a run side by side)' * (cost == 'seconds')}"
    title = f"{unit} to a target loss: median / expected running time (all that was spent over the successes)"
    caption = (
        f"Targets: 0 is the lowest loss {LOWEST_LOSS[targets]}, 1 that of random starts; for each instance. "
        "Reached: share of searches and targets; ∞: most did not reach it; - : none did"
    )
    rows = []
    for _, line in costs_to_targets.groupby(["model", "searcher_label", "start"], sort=False):
        by_target = {r["target"]: r for r in _rows(line)}
        first = next(iter(by_target.values()))
        cells = (_cost(by_target[f], expected[*_key(first), f]) for f in fractions)
        reached = 1 - sum(r["censored"] for r in by_target.values()) / sum(r["n"] for r in by_target.values())
        rows.append([*_row_key(first), *cells, share(reached)])
    header = columns(MODEL, SEARCHER, START, *(f"{f:g}" for f in fractions), "reached")
    return Table(title, header, rows, caption, f"{cost.capitalize()} to a target loss")


def _starts(section: Section) -> Table:
    """Return the table of pairs of starts, one row per model, searcher and kind of pair."""
    distances, gaps = section.rows("distance"), section.rows("gap")
    limits = sorted(distances.threshold.dropna().unique(), reverse=True)
    title = (
        "Between two starts of an instance, medians: gap of the final losses, squared distance of the codes at each "
        "threshold and at the end"
    )
    caption = (
        f"Spread: standard deviation of the final loss over all starts. Same basin: squared distance <= "
        f"{BASIN_DISTANCE:g} d and gap <= {BASIN_GAP:.0%} of the loss; share of pairs (95 % interval). "
        "In brackets at a threshold: how many pairs met it, if not all"
        + IN_COORDINATES
        * bool((distances.space != PRIOR).any())
    )
    spreads = (
        section.rows("spread")
        .drop_duplicates(["model", "searcher_label"])
        .set_index(["model", "searcher_label"])["median"]
    )
    by_key: dict[tuple, dict[Any, dict[str, Any]]] = {}  # distances by threshold
    for r in _rows(distances):
        by_key.setdefault(_key(r), {})["end" if pd.isna(r["threshold"]) else r["threshold"]] = r
    rows = []
    for gap in _rows(gaps[gaps.threshold.isna()]):
        by_threshold = by_key.get(_key(gap), {})
        end, basin = by_threshold.get("end"), section.row("basin", gap)
        spread: Any = spreads[gap["model"], gap["searcher_label"]]
        medians = number(spread), number(gap["median"])
        at_limits = (_distance(by_threshold[t]) if t in by_threshold else EMPTY for t in limits)
        cells = (*medians, _basin(basin) if basin else EMPTY, *at_limits, number(end["median"]) if end else EMPTY)
        rows.append([*_row_key(gap), number((end or gap)["n"], str), *cells])
    same_basin = Column("same basin", is_whole=True)
    header = columns(MODEL, SEARCHER, STARTS, "pairs", "spread", "gap", same_basin, *(f"{t:g}" for t in limits), "end")
    return Table(title, header, rows, caption, "How much depends on the start")


def _gaps(section: Section) -> Table:
    """Return the table of the difference of the losses of two starts, where both met a threshold and at the end."""
    title = "Gap between the losses of two starts, when both met a threshold and at the end"
    caption = "Met by: pairs of which both met the threshold. Section 5.4 of the paper speaks of this gap"
    rows = []
    for _, line in section.rows("gap").groupby(["model", "searcher_label", "start"], sort=False):
        by_threshold = {r["threshold"]: r for r in _rows(line)}
        for r in by_threshold.values() if len(by_threshold) > 1 else ():
            at = word("end") if pd.isna(r["threshold"]) else Cell(f"{r['threshold']:g}", r["threshold"])
            met = number(r["n"] - r["censored"], "{:g}".format)
            mean = number(r["mean"], undefined="")
            rows.append([*_row_key(r), at, met, number(r["median"]), interval(r["low"], r["high"]), mean])
    limit = Column("threshold", is_key=True)
    header = columns(MODEL, SEARCHER, STARTS, limit, "met by", "median", "95 % interval", "mean")
    return Table(title, header, rows, caption, "Gap between two starts by threshold")


def _variance(section: Section) -> Table:
    """Return the table of shares of the total variance, with the standard deviation of each."""
    caption = (
        "Of training seed, start and search seed what each changes alone, so that interactions count several times and "
        "shares may add up to more than 100 %; of the target what its searches have in common. - : cannot be told"
    )
    shown = [f for f in FACTORS if len(section.rows(f"variance:{f}"))]
    title = "Where the variance of the final loss comes from: share of the total (95 % interval); its root"
    totals = [r for r in _rows(section.rows("variance:total")) if not math.isnan(r["estimate"])]
    rows = [[*_row_head(r), number(_root(r)), *(_factor(section, f, r) for f in shown)] for r in totals]
    header = columns(MODEL, SEARCHER, "total, root", *(START if f == START.heading else f for f in shown))
    return Table(title, header, rows, caption, "Where the variance comes from")


def _factor(section: Section, factor: str, like: dict[str, Any]) -> Cell:
    effect, part = (section.row(f"{m}:{factor}", like) for m in ("variance", "variance share"))
    if not effect:
        return number(None)
    if math.isnan(effect["estimate"]):
        return number(None, undefined="one level" if effect["n"] == 1 else "-")
    if math.isnan(part["estimate"]):
        return number(None, undefined="nothing varies")
    bounds = part["low"], part["high"]
    brackets = interval_text(*bounds, "{:.2%}".format)
    text = f"{part['estimate']:.2%}{f' ({brackets})' * bool(brackets)}; {rounded(_root(effect))}"
    return Cell(text, part["estimate"], bounds=bounds)


def _root(row: dict[str, Any]) -> float:
    return math.sqrt(max(row["estimate"], 0))


def _rows(rows: Any) -> Iterator[dict[str, Any]]:
    yield from rows.to_dict("records")


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["model"], row["searcher_label"], row["start"]


def _row_head(row: dict[str, Any]) -> tuple[Cell, Cell]:
    return model(row["model"]), word(row["searcher_label"])


def _row_key(row: dict[str, Any]) -> tuple[Cell, Cell, Cell]:
    return *_row_head(row), word(row["start"])


def _steps(row: dict[str, Any]) -> Cell:
    """Format steps; censored values are larger than the number of steps."""
    median = not_met(row) if math.isinf(row["median"]) else f"{row['median']:g}"
    return Cell(f"{median} ({row['n'] - row['censored']:g}/{row['n']})", row["median"])


def _cost(row: dict[str, Any], expected: float) -> Cell:
    median = "∞" if math.isinf(row["median"]) else _count(row["median"])
    return Cell(f"{median} / {_count(expected)}", row["median"])


def _count(value: float) -> str:
    """Format a count or a time: a whole number without decimals."""
    if not math.isfinite(value):
        return "-"
    return f"{value:g}" if value == int(value) and value < 1000 else rounded(value)


def _basin(row: dict[str, Any]) -> Cell:
    ends = row["low"], row["high"]
    return estimate(row["estimate"], *ends, "{:.0%}".format, lambda end: f"{100 * end:.0f}", "..")


def _distance(row: dict[str, Any]) -> Cell:
    met = row["n"] - row["censored"]
    return Cell(rounded(row["median"]) + f" ({met:g})" * (0 < met < row["n"]), row["median"])
