"""What stands behind each line of a comparison: how many runs, of what code, and how far it is from the best line."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.table import GROUP, TOGETHER, group
from lso_bench.record import Record
from lso_bench.store.columns import Columns

SPENT = ("evaluations", "gradients", "decodes")  # by all searches of a run
PHASES = ("fit", "propose", "decode", "score", "total")  # seconds
COUNTS = ("runs", "failed", "diverged", "searches", "censored")
TAKEN = [f"spent {k}" for k in (*SPENT, *PHASES)]


def counted(records: Sequence[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """A row a group: COUNTS (censored: searches that ended without a finite loss), `ended` (why searches ended, and how
    many did), `code` (versions of lso-bench), `spent evaluations` and so on (medians of runs; SPENT and PHASES).

    A run whose process died does not say its device; it is counted where the rest of its group is.
    """
    lines: dict[tuple, list[Record]] = {}
    for r in records:
        lines.setdefault(tuple(group(r, by).values()), []).append(r)
    at = [*GROUP].index("device")
    known = {_without(at, key): key for key in lines if key[at] != "unknown"}
    for key in [k for k in lines if k[at] == "unknown" and _without(at, k) in known]:
        lines[known[_without(at, key)]] += lines.pop(key)
    rows = [dict(zip((*GROUP, *by), key, strict=True)) | _count(runs) for key, runs in lines.items()]
    found = pd.DataFrame(rows, columns=[*GROUP, *by, *COUNTS, "ended", "code", *TAKEN])
    return found.astype(dict.fromkeys(("budget", "seconds", "patience"), float))


def behind(searches: pd.DataFrame) -> dict[int, list[dict[str, Any]]]:
    """By line, a row a kind of start: how much more its final loss is than that of the line with the lowest median.

    Paired: of each instance the median of its searches, less that of the best line; of these differences the order
    statistics. Lines are compared within TOGETHER and with the same kind of start.
    """
    found: dict[int, list[dict]] = {}
    for _, same in searches.groupby([*TOGETHER, "start"], sort=False):
        medians = same.groupby("line", sort=False).loss.median()
        each = cast(pd.DataFrame, same.groupby(["line", "instance"], sort=False).loss.median().unstack("line"))
        with np.errstate(invalid="ignore"):
            apart = each.sub(each[medians.idxmin()], axis=0)
        for line in medians.index:
            there = apart[line].dropna()
            row = order_statistics(there.to_numpy(), there.index.to_numpy())
            found.setdefault(line, []).append({"measure": "behind", "start": same.start.iloc[0]} | row)
    return found


def _without(at: int, key: tuple) -> tuple:
    return (*key[:at], *key[at + 1 :])


def _count(runs: list[Record]) -> dict[str, Any]:
    ended: Counter[str] = Counter()
    lost = 0
    for r in runs:
        members = Columns.from_members(r.members)
        rows = dict(zip(members.names, members.rows.T, strict=True))
        lost += int((~np.isfinite(rows["loss"])).sum())
        for place, n in zip(*np.unique(rows["stopped"], return_counts=True), strict=True):
            ended[members.words[int(place)]] += int(n)
    return {
        "runs": len(runs),
        "failed": sum(not r.members for r in runs),
        "diverged": sum(r.status == "diverged" for r in runs),
        "searches": sum(len(r.members) for r in runs),
        "censored": lost,
        "ended": ", ".join(f"{n} {why}" for why, n in ended.most_common()),
        "code": ", ".join(sorted({str(r.versions["lso_bench"]) for r in runs if "lso_bench" in r.versions})),
    } | _spent([r for r in runs if r.members])


def _spent(runs: list[Record]) -> dict[str, float]:
    """Medians of runs; NaN where none says it."""
    noted = {k: [r.counts[k] for r in runs if k in r.counts] for k in SPENT}
    noted |= {k: [r.seconds[k] for r in runs if k in r.seconds] for k in PHASES}
    return {f"spent {k}": float(np.median(v)) if v else np.nan for k, v in noted.items()}
