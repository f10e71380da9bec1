"""Findings of runs in sentences: the model with the lowest loss for each searcher, and its significance."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import GROUP_KEYS, table
from lso_bench.plotting.numbers import in_words
from lso_bench.record import Record
from lso_bench.report.sections import Section
from lso_bench.report.table import short

FEWEST = 6  # targets at which a constant difference is significant: sign test, p = 2 / 2^6


@dataclass(frozen=True)
class Line:
    """Finding for one searcher: its models in order."""

    searcher_label: str
    model: str  # model with the lowest median final loss
    text: str


def summary(comparison: Comparison, records: Sequence[Record]) -> str:
    """Describe the runs: numbers of runs, models, searchers and tasks."""
    failed, searches = [r for r in records if not r.members], sum(len(r.members) for r in records)
    names_by_kind = {k: [*dict.fromkeys(getattr(r.spec, f"{k}_name") for r in records)] for k in ("task", "searcher")}
    models = sorted({r.spec.model.name for r in records})
    trained = len({(r.spec.model, r.spec.checkpoint) for r in records})
    seeds = "one training seed each" if trained == len(models) else f"{trained} trained models"
    parts = [
        f"{_count(len(records), 'run')} ({len(failed)} failed) with {searches:,} searches:",
        f"{_count(len(models), 'model')} ({names(models)}; {seeds}),",
        f"{_count(len(names_by_kind['searcher']), 'searcher')} ({names(names_by_kind['searcher'])})",
        f"on {_count(len(names_by_kind['task']), 'task')} ({names(names_by_kind['task'])}).",
    ]
    n_notes = len(comparison.notes)
    if n_notes:
        parts.append(f"{_count(n_notes, 'flag')} below {'say' if n_notes > 1 else 'says'} what may not be compared.")
    return " ".join(parts)


def lines(section: Section, records: Sequence[Record]) -> Iterator[Line]:
    """Yield a finding per searcher: the model with the lowest median final loss, and paired differences to it.

    Models are compared only with equal searcher, limits and region. Each target counts once, with the median of its
    searches from all starts and all trained models of that name.
    """
    searches = table([r for r in records if r.members])
    labels = section.measures[[*GROUP_KEYS, "searcher_label"]].drop_duplicates()
    labelled = searches.merge(labels, on=[*GROUP_KEYS], how="inner")
    for label, searcher_rows in labelled.groupby("searcher_label", sort=False):
        losses = cast(pd.DataFrame, searcher_rows.groupby(["instance", "model"]).loss.median().unstack("model"))
        order = searcher_rows.groupby("model").loss.median().sort_values(kind="stable")
        line = _finding(str(label), order, losses, cast(pd.DataFrame, searcher_rows))
        yield replace(line, text=line.text + _median_steps_text(section, line.searcher_label))


def _finding(searcher_label: str, order: pd.Series, losses: pd.DataFrame, searches: pd.DataFrame) -> Line:
    first = str(order.index[0])
    best = searches[searches.model == first]
    statistics = order_statistics(best.loss.to_numpy(float), best.instance.to_numpy())
    n = f"n = {len(best):,} on {_count(best.instance.nunique(), 'target')}"
    text = f"median final loss {in_words(statistics['estimate'])}{_within(statistics, in_words, '95 % interval ')}, {n}"
    if len(order) == 1:
        return Line(searcher_label, first, f"{text}; no other model was run so.")
    worse = [_difference(str(m), cast(pd.Series, losses[m] - losses[first])) for m in order.index[1:]]
    return Line(
        searcher_label, first, f"{text}. On the same targets: {'; '.join(worse[:6])}{'; ...' * (len(worse) > 6)}."
    )


def _median_steps_text(section: Section, searcher_label: str) -> str:
    """Describe each model's steps to the smallest threshold; empty if the searcher has none."""
    rows = section.rows("iterations")
    rows = cast(
        pd.DataFrame,
        rows[(rows.searcher_label == searcher_label) & (rows.threshold == rows.threshold.min())],
    )
    if rows.empty:
        return ""
    start = rows.start.iloc[0]
    from_start = cast(pd.DataFrame, rows[rows.start == start])
    ordered = from_start.sort_values("median", kind="stable").to_dict("records")
    texts = [f"{short(r['model'])} {_median_steps(r)}" for r in ordered[:6]]
    return f" Median steps to threshold {rows.threshold.iloc[0]:g} from {short(start)} starts: {', '.join(texts)}."


def _median_steps(row: Mapping[str, Any]) -> str:
    if math.isinf(row["median"]):
        return "not met by most"
    return f"{row['median']:,.0f}{_within(row, lambda v: 'more' if math.isinf(v) else f'{v:,.0f}')}"


def _within(row: Mapping[str, Any], form: Callable[[float], str], prefix: str = "") -> str:
    """Return the interval in brackets; empty if it is undefined."""
    return "" if math.isnan(row["low"]) else f" ({prefix}{form(row['low'])} to {form(row['high'])})"


def _difference(model: str, differences: pd.Series) -> str:
    """Describe paired differences of a model to the best one.

    A pair with one lost search is infinitely far apart; a pair of two lost searches has no difference.
    """
    defined = differences.dropna()
    if defined.empty:
        return f"{short(model)} shares no target"
    statistics = order_statistics(defined.to_numpy(float), defined.index.to_numpy())
    constant = math.isnan(statistics["low"]) and statistics["estimate"] != 0 and len(defined) >= FEWEST
    significant = statistics["low"] > 0 or statistics["high"] < 0 or constant
    sign = "+" * (statistics["estimate"] >= 0)
    interval_text = f"{_within(statistics, in_words)}{'' if significant else ', not told apart'}"
    return f"{short(model)} {sign}{in_words(statistics['estimate'])}{interval_text}"


def names(texts: Iterable[object], most: int = 8) -> str:
    """List names, at most `most` of them."""
    shortened = [short(t) for t in dict.fromkeys(texts)]
    suffix = f" and {len(shortened) - most} more" if len(shortened) > most else ""
    return ", ".join(shortened[:most]) + suffix


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
