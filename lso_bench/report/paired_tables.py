"""Tables of paired comparisons, over instances and over tasks, and of collapse against search."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.collapse import COMPARED_WITHIN, GIVEN, LATENT_METRICS, Collapse, fewest_models
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.paired import COMPARED
from lso_bench.analysis.rank_correlation import FEWEST, method, smallest_p
from lso_bench.analysis.rank_tests import BLOCKS, CONTESTANTS
from lso_bench.analysis.table import GROUP_KEYS, SECTION_KEYS
from lso_bench.analysis.unmeasured import left_out
from lso_bench.plotting.numbers import significant
from lso_bench.report.cells import EMPTY, estimate, model, number, p_value, within, word
from lso_bench.report.sections import Section, description, searcher_labels, short_titles
from lso_bench.report.table import MODEL, NAME_WIDTH, SEARCHER, START, Cell, Column, Part, Table, columns

OUTCOMES = ("loss", "missed", "iterations")
PER_PAIR = ("difference", "wins", "effect")
OUTCOME = Column("of", is_text=True, is_whole=True, is_key=True)
DIFFERENCE, WINS = (Column(heading, is_whole=True) for heading in ("less the best, median", "wins"))
HEADER = columns(
    *(MODEL, SEARCHER, START, OUTCOME, "n", "lost", "mean rank", "Friedman, p"),
    *(DIFFERENCE, WINS, "effect", "Wilcoxon-Holm, p"),
)
CAPTION = (
    "With the same starts and seeds, against the best mean rank. n: instances, of several seeds the median. Lost: "
    "searches that diverged, failed or did not get there, ranked last. Wins: share of instances, ties half. In "
    "brackets 95 % intervals. Effect: matched-pairs rank-biserial, -1 if worse wherever they differ. p: none under "
    f"{BLOCKS} instances; Holm's over all pairs. All this is about these trained "
    "models: another training is another model"
)

MISSED_SAYS = ". Missed: share of samples, drawn without a teacher, that are not nearest to their target"

OVER_TASKS = columns(
    *(MODEL, SEARCHER, START, OUTCOME, "tasks", "lost", "mean rank", "Friedman, p"), *(WINS, "Nemenyi, p")
)
OVER_TASKS_CAPTION = (
    "A block is a task: of its instances, with the same starts and seeds, the median. Against the best mean rank. "
    "Lost: searches that diverged, failed or did not get there. Wins: share of tasks, ties half (95 % interval). p: "
    f"none under {BLOCKS} tasks and {CONTESTANTS} contestants. Scales differ between tasks: differences are not given"
)


def contests(section: Section, factor: str) -> Iterator[Table]:
    """Yield the table of models or of searchers, each against the best mean rank, on more than one instance."""
    if rows := [*_contests(section, factor)]:
        caption = CAPTION + MISSED_SAYS * bool(len(section.rows(f"{factor} rank:missed")))
        yield Table(title(factor), HEADER, rows, caption)


def title(factor: str) -> str:
    """Return the title of the table of models or of searchers."""
    return f"{factor.capitalize()}s on the same instances"


def _contests(section: Section, factor: str) -> Iterator[list[Cell]]:
    context = [*(c for c in GROUP_KEYS if c != factor), "start"]
    for outcome in OUTCOMES:
        for _, ranked in section.rows(f"{factor} rank:{outcome}").groupby(context, sort=False, dropna=False):
            best = ranked.iloc[0]
            if best.n < 2:
                continue
            for row in ranked.to_dict("records"):
                pair_measures = {m: section.row(f"{factor} {m}:{outcome}", row, best[factor]) for m in PER_PAIR}
                cells = _pair_cells(pair_measures) if pair_measures["wins"] else (p_value(row["p"]), *[EMPTY] * 4)
                yield [*_row_head(row, outcome, row), *cells]


def _row_head(row: dict[str, Any], outcome: str, best: dict[str, Any]) -> tuple[Cell, ...]:
    """Return the contestant, what is compared, n, the number of lost searches, and the mean rank."""
    names = model(row["model"]), word(row["searcher_label"]), word(row["start"])
    compared = word(f"steps to {best['threshold']:g}" if outcome == "iterations" else outcome)
    counts = (number(row[k], "{:g}".format) for k in ("n", "censored"))
    return *names, compared, *counts, number(row["estimate"], "{:.2f}".format)


def _pair_cells(measures: dict[str, dict[str, Any]]) -> tuple[Cell, ...]:
    difference, won, effect = measures["difference"], measures["wins"], measures["effect"]["estimate"]
    median = estimate(*_estimate(difference), significant)
    return EMPTY, median, _wins(won), number(effect, "{:.2f}".format), p_value(difference["p"])


def _wins(row: dict[str, Any]) -> Cell:
    return estimate(*_estimate(row), "{:.0%}".format)


def _estimate(row: dict[str, Any]) -> tuple[float, float, float]:
    return row["estimate"], row["low"], row["high"]


def over_tasks(comparison: Comparison) -> Iterator[Part]:
    """Yield a part with a table of models and one of searchers, if two tasks share contestants."""
    rows = comparison.tasks
    if rows.empty:
        return
    rows = rows.assign(searcher_label=searcher_labels(rows, comparison.by))
    caption = OVER_TASKS_CAPTION + MISSED_SAYS * bool(rows.measure.str.endswith("rank:missed").any())
    tables = [Table(f"{f.capitalize()}s over tasks", OVER_TASKS, [*_over_tasks(rows, f)], caption) for f in COMPARED]
    yield Part("Over tasks", [], [t for t in tables if t.rows])


def _over_tasks(rows: pd.DataFrame, factor: str) -> Iterator[list[Cell]]:
    """Yield one row per contestant, grouped by comparison, the best first."""
    context = [*(c for c in GROUP_KEYS if c not in (factor, "decoding")), "start"]
    for outcome in OUTCOMES:
        measures = [f"{factor} {m}:{outcome}" for m in ("rank", "wins", "nemenyi")]
        for _, compared in rows[rows.measure.isin(measures)].groupby(context, sort=False, dropna=False):
            records = cast(list[dict[str, Any]], cast(pd.DataFrame, compared).to_dict("records"))
            pairs = {(r["measure"], r[factor], r["against"]): r for r in records}
            ranked = [r for r in records if r["measure"] == measures[0]]
            for row in ranked:
                won, nemenyi = (pairs.get((m, row[factor], ranked[0][factor])) for m in measures[1:])
                friedman = p_value(row["p"]), EMPTY, EMPTY
                cells = (EMPTY, _wins(won), p_value(nemenyi["p"])) if won and nemenyi else friedman
                yield [*_row_head(row, outcome, ranked[0]), *cells]


def collapse(result: Collapse, section: Mapping[str, str] | None = None) -> Iterator[Part]:
    """Yield a part per context: one row per outcome, one column per latent-space metric.

    Args:
        section: texts of SECTION_KEYS; contexts of other sections are left out.
    """
    if result.correlations.empty:
        return
    contexts = [c for _, c in result.correlations.groupby(COMPARED_WITHIN, sort=False, dropna=False)]
    heads = pd.DataFrame([c.iloc[0] for c in contexts])
    for context, title in zip(contexts, _setups(heads), strict=True):
        head = context.iloc[0]
        if section and any(str(head[k]) != text for k, text in section.items()):
            continue
        n = {s: int(context[context.metric == s].n.max()) for s in LATENT_METRICS}
        metrics = [s for s in LATENT_METRICS if n[s] >= FEWEST]
        rows = []
        for outcome, line in context.groupby("outcome", sort=False):
            by_metric = {r["metric"]: r for r in line.to_dict("records")}
            rows.append([word(outcome), *(_correlation(by_metric[s], n[s]) for s in metrics)])
            if len(rows) == 1 and line.partial.notna().any():
                rows.append([word(f"the same, given {GIVEN}"), *(_partial(by_metric[s]) for s in metrics)])
        heading = "Spearman's rank correlation over trained models (95 % interval)"
        outcomes = Column("of the searches", is_text=True, min_width=NAME_WIDTH, is_key=True)
        widths = [NAME_WIDTH, *[0] * len(metrics)]
        header = outcomes, *(Column(f"{s}, n = {n[s]}", min_width=w) for s, w in zip(metrics, widths, strict=False))
        table = Table(heading, header, rows, _limits(context, n, left_out(result, head.to_dict())))
        yield Part(f"Does collapse decide search? {title}", [description(head.to_dict())], [table])


def _setups(heads: pd.DataFrame) -> list[str]:
    """Return task, latent space and searcher of each row, with the settings that tell it from the others."""
    titles = short_titles(cast(pd.DataFrame, heads[[*SECTION_KEYS]]).to_dict("records"))
    return [f"{title} · {label}" for title, label in zip(titles, searcher_labels(heads), strict=True)]


def _limits(context: pd.DataFrame, models: dict[str, int], left_out: str) -> str:
    """Return a caption that says what the table can and cannot show.

    Args:
        models: number of models with each measure.
        left_out: names of the models without measures.
    """
    n, tests = int(context.n.max()), int(context["of"].iloc[0])
    least, family = smallest_p(n), f"Holm's correction over the {tests} correlations"
    missing = [metric for metric, known in models.items() if known < FEWEST]
    unknown = f" Not measured, and left out: {left_out} (`lso-bench evaluate`)." * bool(left_out)
    if constant := _constant(context):
        unknown += f" Equal in all models, and so without a correlation (-): {'; '.join(constant)}."
    unknown += f" Measured of fewer than {FEWEST}: {', '.join(missing)} (`lso-bench evaluate`)." * bool(missing)
    return (
        f"-1: the more, the less. * where p is below 0.05 after {family} of this table. By {method(n)} of {n} models "
        f"no p is below {least:.2g} before it and {min(1, tests * least):.2g} after it. The smallest here are "
        f"{context.p.min():.2g} before and {context.holm.min():.2g} after."
        f"{_wanted_models(n, tests)}{unknown} The models share instances, starts and seeds, and {_trainings(context)}: "
        f"this shows what goes together in them, not what causes what. Given {GIVEN}: Spearman's partial correlation"
    )


def _constant(context: pd.DataFrame) -> list[str]:
    """Return the outcomes, and the measures of enough models, that do not differ between models."""
    known = context[context.n >= FEWEST]
    outcomes = [name for name, rows in known.groupby("outcome", sort=False) if rows.estimate.isna().all()]
    differing = cast(pd.DataFrame, known[~known.outcome.isin(outcomes)])
    metrics = [name for name, rows in differing.groupby("metric", sort=False) if rows.estimate.isna().all()]
    return [*map(str, (*metrics, *outcomes))]


def _wanted_models(n: int, tests: int) -> str:
    """Return how many models a significant correlation takes, where n are too few."""
    fewest = fewest_models(tests)
    if fewest is not None and fewest <= n:
        return ""
    models = "No number of models" if fewest is None else f"Only {fewest} models or more"
    return f" {models} can have a p below 0.05 after it, with as many correlations."


def _trainings(context: pd.DataFrame) -> str:
    """Return how many trainings the points stand for."""
    n, trainings = int(context.n.max()), int(context.trainings.max())
    return "each is one training" if n == trainings else f"a model is the mean of its trainings, {trainings} in all"


def _partial(row: dict[str, Any]) -> Cell:
    if math.isnan(row["partial"]):
        return number(None)
    bounds = row["partial_low"], row["partial_high"]
    return Cell(f"{row['partial']:.2f}{within(*bounds, '{:.2f}'.format)}", row["partial"], bounds=bounds)


def _correlation(row: dict[str, Any], n: int) -> Cell:
    if math.isnan(row["estimate"]):
        return number(None)
    fewer, bounds = f", n = {row['n']}" * (row["n"] < n), (row["low"], row["high"])
    brackets = within(*bounds, "{:.2f}".format)
    return Cell(f"{row['estimate']:.2f}{'*' * (row['holm'] < 0.05)}{brackets}{fewer}", row["estimate"], bounds=bounds)
