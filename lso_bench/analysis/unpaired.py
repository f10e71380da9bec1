"""Contestants that are not paired in a comparison: they were not run with the same seeds, or on the same instances."""

from collections.abc import Iterable, Sequence

import pandas as pd

from lso_bench.analysis.paired import MATCHED_ON, WITHIN, all_searches, blocks, contexts
from lso_bench.plugins.notation import short_name
from lso_bench.record import Record

MATCHED = {"seeds": [c for c in MATCHED_ON if c not in ("instance", "block")], "instances": ["instance"]}
MAX_NAMED = 3  # names listed in a line


def unpaired(searches: pd.DataFrame, failed: Sequence[Record], by: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return, by task, a line for what all compared models, or searchers, do not have in common.

    Comparisons in which the same is missing share a line.
    """
    lines: dict[tuple[str, str, str, str], list[str]] = {}
    for factor, labels, compared in contexts(all_searches(searches, failed, by), by):
        where = short_name(str(labels["searcher" if factor == "model" else "model"]))
        for kind in (k for k, columns in MATCHED.items() if _differ(compared, factor, columns)):
            key = str(labels["task"]), factor, kind, _consequence(compared, factor, kind)
            lines.setdefault(key, []).append(where)
    texts: dict[str, list[str]] = {}
    for (task, factor, kind, consequence), places in lines.items():
        preposition = "on" if kind == "instances" else "with"
        line = f"{factor}s {WITHIN[factor]} {_listed(places)} were not run {preposition} the same {kind}; "
        texts.setdefault(task, []).append(f"{line}{consequence}.")
    return texts


def _differ(searches: pd.DataFrame, factor: str, columns: list[str]) -> bool:
    """Return whether contestants have not all the same values in these columns."""
    values = searches[[factor, *columns]].drop_duplicates()
    return len({frozenset(map(tuple, table.to_numpy().tolist())) for _, table in values.groupby(factor)[columns]}) > 1


def _consequence(searches: pd.DataFrame, factor: str, kind: str) -> str:
    """Return what the tables of pairs hold of contestants that do not share all of a kind."""
    paired = blocks(searches, factor, "loss")
    if paired is None:
        return "their rows are not paired"
    absent = [name for name in map(str, searches[factor].unique()) if name not in paired.names]
    if absent:
        return f"ranks and tests are of the {kind} that the others share, without {_listed(map(short_name, absent))}"
    return f"ranks and tests are of the {kind} that all of them have, other figures of more"


def _listed(names: Iterable[str]) -> str:
    """List each name once, at most MAX_NAMED of them."""
    shown = [*dict.fromkeys(names)]
    return ", ".join(shown[:MAX_NAMED]) + f" and {len(shown) - MAX_NAMED} more" * (len(shown) > MAX_NAMED)
