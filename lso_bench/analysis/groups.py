"""Groups of a comparison: number of runs, versions of the code, and the gap to the best group."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.fields import FIELDS, UNKNOWN, shown
from lso_bench.analysis.table import GROUP_KEYS, OPTIONAL_NUMBERS, SECTION_KEYS, group
from lso_bench.bounds import is_number
from lso_bench.record import Record
from lso_bench.store.columns import Columns

SPENT = ("evaluations", "gradients", "decodes")  # by all searches of a run
TEXTS = ("distinct", "invalid")  # shares of the evaluations of a run
PHASES = ("fit", "propose", "decode", "score", "total")  # seconds
COUNTS = ("runs", "trainings", "instances", "failed", "diverged", "searches", "censored")
COST_COLUMNS = [f"spent {k}" for k in (*SPENT, *PHASES)]
CODE = {  # columns of the versions of the code behind a group's runs, and the field that tells them apart
    "task code": "task_sha256",
    "task package": "task_package",
    "searcher code": "searcher_sha256",
    "searcher package": "searcher_package",
    "files": "source",
}
TEXT_COLUMNS = [f"texts {k}" for k in TEXTS]


def group_summary(records: Sequence[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per group: COUNTS, `ended`, `code`, COST_COLUMNS and TEXT_COLUMNS.

    `censored` counts searches without a finite final loss. `ended` lists the reasons why searches ended, with their
    numbers. `epochs` lists the lengths of the models' trainings. `code` lists versions of lso-bench, CODE those
    of the task's and searcher's code. COST_COLUMNS (`spent evaluations` and so on) are medians of runs, and so are
    TEXT_COLUMNS, shares of their evaluations. A run whose process died has no device: it is counted in the group that
    is equal otherwise, else with the first device of its section.
    """
    keyed = [(group(r, by), r) for r in records]
    likeness = [[k for k in keys if k != "device"] for keys in ((*GROUP_KEYS, *by), SECTION_KEYS)]  # the closer first
    devices: dict[tuple, str] = {}  # the first of the runs that are alike
    for key, _ in keyed:
        for columns in likeness if key["device"] != UNKNOWN else ():
            devices.setdefault(tuple(key[c] for c in columns), key["device"])
    lines: dict[tuple, list[Record]] = {}
    for key, r in keyed:
        if key["device"] == UNKNOWN:
            alike = (tuple(key[c] for c in columns) for columns in likeness)
            key["device"] = next((devices[k] for k in alike if k in devices), UNKNOWN)
        lines.setdefault(tuple(key.values()), []).append(r)
    rows = [dict(zip((*GROUP_KEYS, *by), key, strict=True)) | _count(runs) for key, runs in lines.items()]
    measured = *COUNTS, "ended", "epochs", "code", *CODE, *COST_COLUMNS, *TEXT_COLUMNS
    table = pd.DataFrame(rows, columns=[*GROUP_KEYS, *by, *measured])
    return table.astype(dict.fromkeys(OPTIONAL_NUMBERS, float))


def pooled_versions(runs: pd.DataFrame) -> str:
    """Return of what several versions groups that are compared have results; empty if of one, as far as recorded.

    All groups share the task; each searcher has its own code, and its own file beside the task's.
    """
    for column, field in CODE.items():
        shared: dict[str, set[str]] = {}  # versions of the task's code, or of each searcher's
        for searcher, pooled in zip(runs["searcher"], runs[column], strict=True):
            shared.setdefault("" if column.startswith("task") else searcher, set()).update(pooled)
        versions = max(shared.values(), key=len, default=set())
        if len(versions) > 1:
            kind = {"files": "task's or searcher's file"}.get(column, f"{column.partition(' ')[0]}'s code")
            return f"the results are of {len(versions)} versions of the {kind}: {one_version(field, versions)}"
    return ""


def one_version(field: str, versions: Iterable[str]) -> str:
    """Return the option for results of one version of the code.

    Versions of a task are split. One of a searcher is left out: split, it would not be compared with the others.
    """
    if field.startswith("task"):
        return f"--by {field}"
    return f"--where '{field}!={shown(min(versions), field)}' leaves one out"


def scored_texts(record: Record) -> bool:
    """Return whether the searches of a run scored texts, and how many were invalid and distinct is recorded."""
    return bool(record.counts.get("evaluations")) and all(f"{k}_texts" in record.counts for k in TEXTS)


def text_shares(runs: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """Yield the shares of evaluations that were of valid texts, and of texts new to their search, if runs have any."""
    scored = [r for r in runs if scored_texts(r)]
    seeds = np.array([r.spec.seeds.init for r in scored])
    for name, count in {"valid": _valid_texts, "distinct": lambda r: r.counts["distinct_texts"]}.items():
        shares = np.array([count(r) / r.counts["evaluations"] for r in scored])
        yield from [{"measure": f"evaluations:{name}"} | order_statistics(shares, seeds)] if scored else []


def _valid_texts(record: Record) -> int:
    return record.counts["evaluations"] - record.counts["invalid_texts"]


def epochs_text(record: Record) -> str:
    """Return the epochs of the training of a run's model, and the best one: "20 (best 18)"; empty if not recorded."""
    epochs, best = (record.versions.get(k) for k in ("epochs", "best_epoch"))
    if not is_number(epochs):
        return ""
    return f"{epochs:g}" + (f" (best {best:g})" if is_number(best) else "")


def gap_to_best(searches: pd.DataFrame) -> dict[int, list[dict[str, Any]]]:
    """Return, by group number, one row per kind of start: the gap of its final loss to the best group's.

    The best group has the lowest median. The gap is paired: for each block, the median loss of the group less that
    of the best group. The row has the order statistics of these differences. Groups are compared within SECTION_KEYS
    and from the same kind of start.
    """
    rows_by_group: dict[int, list[dict]] = {}
    for _, section in searches.groupby([*SECTION_KEYS, "start"], sort=False):
        medians = section.groupby("group_id", sort=False).loss.median()
        by_instance = cast(
            pd.DataFrame, section.groupby(["group_id", "block"], sort=False).loss.median().unstack("group_id")
        )
        with np.errstate(invalid="ignore"):
            gaps = by_instance.sub(by_instance[medians.idxmin()], axis=0)
        for group_id in medians.index:
            group_gaps = gaps[group_id].dropna()
            row = order_statistics(group_gaps.to_numpy(), group_gaps.index.to_numpy())
            rows_by_group.setdefault(group_id, []).append({"measure": "behind", "start": section.start.iloc[0]} | row)
    return rows_by_group


def _count(runs: list[Record]) -> dict[str, Any]:
    ended: Counter[str] = Counter()
    censored, instances = 0, set()
    for r in runs:
        members = Columns.from_members(r.members)
        rows = dict(zip(members.names, members.rows.T, strict=True))
        censored += int((~np.isfinite(rows["loss"])).sum())
        instances.update(rows["instance"].tolist())
        for index, n in zip(*np.unique(rows["stopped"], return_counts=True), strict=True):
            ended[members.words[int(index)]] += int(n)
    return {
        "runs": len(runs),
        "trainings": len({r.spec.model.seed for r in runs}),
        "instances": len(instances),
        "failed": sum(not r.members for r in runs),
        "diverged": sum(r.status == "diverged" for r in runs),
        "searches": sum(len(r.members) for r in runs),
        "censored": censored,
        "ended": ", ".join(f"{n} {reason}" for reason, n in ended.most_common()),
        "epochs": ", ".join(sorted({epochs_text(r) for r in runs} - {""})),
        "code": ", ".join(sorted({str(r.versions["lso_bench"]) for r in runs if "lso_bench" in r.versions})),
        **{column: tuple(sorted({str(FIELDS[f](r)) for r in runs if FIELDS[f](r)})) for column, f in CODE.items()},
    } | _spent([r for r in runs if r.members])


def _spent(runs: list[Record]) -> dict[str, float]:
    """Return the medians of runs; NaN where no run recorded a value."""
    recorded = {k: [r.counts[k] for r in runs if k in r.counts] for k in SPENT}
    recorded |= {k: [r.seconds[k] for r in runs if k in r.seconds] for k in PHASES}
    columns = {f"spent {k}": v for k, v in recorded.items()}
    scored = [r for r in runs if scored_texts(r)]
    columns |= {f"texts {k}": [r.counts[f"{k}_texts"] / r.counts["evaluations"] for r in scored] for k in TEXTS}
    return {name: float(np.median(v)) if v else np.nan for name, v in columns.items()}
