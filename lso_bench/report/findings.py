"""What runs say, in sentences: which model has the lowest loss under each searcher, and how sure that is."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.comparison import Comparison
from lso_bench.analysis.table import GROUP_KEYS, table
from lso_bench.record import Record
from lso_bench.report.html_cells import figure, names, short
from lso_bench.report.sections import Section
from lso_bench.vae.notation import name_of

FEWEST = 6  # targets on which a difference that is always the same is told from none: sign test, p = 2 / 2^6


@dataclass(frozen=True)
class Line:
    """One searcher's models in order."""

    searcher_label: str
    model: str  # with the lowest median final loss
    text: str


def summary(comparison: Comparison, records: Sequence[Record]) -> str:
    """What was run."""
    failed, searches = [r for r in records if not r.members], sum(len(r.members) for r in records)
    of = {k: [*dict.fromkeys(name_of(getattr(r.spec, k)) for r in records)] for k in ("task", "searcher")}
    models = sorted({r.spec.model.name for r in records})
    trained = len({(r.spec.model, r.spec.checkpoint) for r in records})
    seeds = "one training seed each" if trained == len(models) else f"{trained} trained models"
    parts = [
        f"{_count(len(records), 'run')} ({len(failed)} failed) with {searches:,} searches:",
        f"{_count(len(models), 'model')} ({names(models)}; {seeds}),",
        f"{_count(len(of['searcher']), 'searcher')} ({names(of['searcher'])})",
        f"on {_count(len(of['task']), 'task')} ({names(of['task'])}).",
    ]
    flags = len(comparison.notes)
    if flags:
        parts.append(f"{_count(flags, 'flag')} below {'say' if flags > 1 else 'says'} what may not be compared.")
    return " ".join(parts)


def lines(section: Section, records: Sequence[Record]) -> Iterator[Line]:
    """One searcher after the other: the model of the lowest median final loss, and the others' distance from it in
    pairs on the same targets.

    Only what has the same searcher, limits and region is compared; a target counts once, with the median of its
    searches from all starts, in all trained models of that name.
    """
    searches = table([r for r in records if r.members])
    known = section.measures[[*GROUP_KEYS, "searcher_label"]].drop_duplicates()
    own = searches.merge(known, on=[*GROUP_KEYS], how="inner")
    for how, same in own.groupby("searcher_label", sort=False):
        by = cast(pd.DataFrame, same.groupby(["instance", "model"]).loss.median().unstack("model"))
        order = same.groupby("model").loss.median().sort_values(kind="stable")
        line = _line(str(how), order, by, cast(pd.DataFrame, same))
        yield replace(line, text=line.text + _soonest(section, line.searcher_label))


def _line(how: str, order: pd.Series, by: pd.DataFrame, same: pd.DataFrame) -> Line:
    first = str(order.index[0])
    best = same[same.model == first]
    found = order_statistics(best.loss.to_numpy(float), best.instance.to_numpy())
    n = f"n = {len(best):,} on {_count(best.instance.nunique(), 'target')}"
    text = f"median final loss {figure(found['estimate'])}{_within(found, figure, '95 % interval ')}, {n}"
    if len(order) == 1:
        return Line(how, first, f"{text}; no other model was run so.")
    worse = [_difference(str(m), cast(pd.Series, by[m] - by[first])) for m in order.index[1:]]
    return Line(how, first, f"{text}. On the same targets: {'; '.join(worse[:6])}{'; ...' * (len(worse) > 6)}.")


def _soonest(section: Section, how: str) -> str:
    """The steps to the smallest threshold, of each model; nothing where the searcher has none."""
    met = section.rows("iterations")
    met = cast(pd.DataFrame, met[(met.searcher_label == how) & (met.threshold == met.threshold.min())])
    if met.empty:
        return ""
    start = met.start.iloc[0]
    first = cast(pd.DataFrame, met[met.start == start])
    ordered = first.sort_values("median", kind="stable").to_dict("records")
    said = [f"{short(r['model'])} {_median_steps(r)}" for r in ordered[:6]]
    return f" Median steps to threshold {met.threshold.iloc[0]:g} from {short(start)} starts: {', '.join(said)}."


def _median_steps(row: Mapping[str, Any]) -> str:
    if math.isinf(row["median"]):
        return "not met by most"
    return f"{row['median']:,.0f}{_within(row, lambda v: 'more' if math.isinf(v) else f'{v:,.0f}')}"


def _within(row: Mapping[str, Any], form: Callable[[float], str], what: str = "") -> str:
    """Its interval, in brackets; nothing where it has none."""
    return "" if math.isnan(row["low"]) else f" ({what}{form(row['low'])} to {form(row['high'])})"


def _difference(model: str, more: pd.Series) -> str:
    """Of paired losses; a pair with a lost search counts as infinitely far apart, one with two as none."""
    there = more.dropna()
    if there.empty:
        return f"{short(model)} shares no target"
    found = order_statistics(there.to_numpy(float), there.index.to_numpy())
    constant = math.isnan(found["low"]) and found["estimate"] != 0 and len(there) >= FEWEST
    apart = found["low"] > 0 or found["high"] < 0 or constant
    sign = "+" * (found["estimate"] >= 0)
    within = f"{_within(found, figure)}{'' if apart else ', not told apart'}"
    return f"{short(model)} {sign}{figure(found['estimate'])}{within}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"
