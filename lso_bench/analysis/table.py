"""Table of searches: one row per search of the records, with all that identifies it."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast, get_type_hints

import numpy as np
import pandas as pd
from torch import Tensor

from lso_bench.analysis.fields import FIELDS, field_text, number, value
from lso_bench.plugins.notation import is_file, name_of
from lso_bench.record import RETRIEVED, Record
from lso_bench.run_settings import IN_TABLES
from lso_bench.search.starts import STARTS
from lso_bench.spec import Spec
from lso_bench.store.columns import NUMBERS, WHOLE, Columns

SHARE = f"beside:{RETRIEVED}"  # column: share of free-running samples that are nearest to their target
GROUP_KEYS = (  # searches that are equal in these are pooled, separately for each kind of start
    "task",
    "searcher",
    "model",
    "arch",
    "latent",
    "decoding",
    "device",
    "region",
    *IN_TABLES,
)
OPTIONAL_NUMBERS = [  # columns with NaN for None
    k for k, hint in get_type_hints(Spec).items() if k in GROUP_KEYS and hint in (int | None, float | None)
]
TEXTS = ("text", "final_text", "nearest")  # fields of a search that hold texts of its samples
SECTION_KEYS = ("task", "arch", "latent", "decoding", "device")  # groups that are equal in these share a table


class Files(Protocol):
    """Files of a record on disk, as a Store has them. None: a file is damaged, and what needs it is left out."""

    def trace(self, spec: Spec) -> pd.DataFrame | None: ...
    def costs(self, spec: Spec) -> pd.DataFrame | None: ...
    def tensors(self, spec: Spec) -> dict[str, Tensor] | None: ...


def group(record: Record, by: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values that a record's searches are pooled by: GROUP_KEYS, and the fields in `by`."""
    return {k: FIELDS[k](record) for k in GROUP_KEYS} | {k: field_text(value(record, k)) for k in by}


def shared(searches: pd.DataFrame, by: Sequence[str] = ()) -> dict[str, Any]:
    """Return the values that all searches of a group share, of their table: GROUP_KEYS, and the columns in `by`."""
    return {k: searches[k].iloc[0] for k in (*GROUP_KEYS, *by)}


def sort_key(record: Record, by: Sequence[str] = ()) -> tuple:
    """Return a sort key of a record that does not depend on where it is stored."""
    split = [(isinstance(v, str), v) for v in (number(field_text(value(record, k))) for k in by)]
    return (*[str(FIELDS[k](record)) for k in GROUP_KEYS], *split, record.spec.key)


def table(records: Sequence[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per search, in the order of records and members.

    Columns: the group and its number (`group_id`), key, place in the record, seeds (train, init, search), weights,
    start, instance, losses and costs. `start_id` identifies the start: its label, and the init seed if it is random.
    Texts are in TEXTS, empty where samples are none. Steps to a threshold are in `met 0.05` and so on, infinite if not
    met. Auxiliary measures are in `beside:log_density` and so on. `block`: see `with_blocks`.
    """
    runs = sorted(records, key=lambda r: sort_key(r, by))
    if not runs:
        return pd.DataFrame(columns=[*GROUP_KEYS, *by, "instance", "block"])
    run_columns = pd.DataFrame([_run_columns(r, by) for r in runs]).astype(dict.fromkeys(OPTIONAL_NUMBERS, float))
    run_columns["group_id"] = run_columns.groupby([*GROUP_KEYS, *by], sort=False, dropna=False).ngroup()
    columns = [Columns.from_members(r.members) for r in runs]
    runs_by_columns: dict[tuple, list[int]] = {}
    for i, (r, c) in enumerate(zip(runs, columns, strict=True)):
        runs_by_columns.setdefault((c.names, r.spec.thresholds), []).append(i)
    tables = [
        _join_searches(thresholds, [(i, columns[i]) for i in indices])
        for (_, thresholds), indices in runs_by_columns.items()
    ]
    rows = pd.concat(tables).sort_values(["run", "place"], kind="stable", ignore_index=True)
    searches = pd.concat([rows, run_columns.take(rows.run).reset_index(drop=True)], axis=1)
    seed_text = searches.init.astype(str).where(
        searches.start.map({s: is_random(s) for s in searches.start.unique()}), ""
    )
    identified = searches.assign(start_id=(searches.start + " " + seed_text).str.rstrip()).drop(columns="run")
    return with_blocks(identified)


def with_blocks(searches: pd.DataFrame) -> pd.DataFrame:
    """Return the searches with a column `block`: what is drawn anew in an interval, and paired in a test.

    It is the instance. Where a task has a single one, it is the random start: such intervals and tests tell of other
    starts of this instance. Starts that are not random have no second draw, and search seeds of a start share its
    block: a searcher may not depend on them.
    """
    is_single = searches.groupby("task", sort=False).instance.transform("nunique") == 1
    has_draws = is_single & searches.start.map({s: is_random(s) for s in searches.start.unique()})
    draws = pd.Series(pd.factorize(searches.start_id)[0], searches.index) + 1
    return searches.assign(block=searches.instance.where(~has_draws, draws))


def _run_columns(record: Record, by: Sequence[str]) -> dict[str, object]:
    """Return the columns that all searches of a run share."""
    s = record.spec
    seeds = {"train": s.model.seed, "weights": s.checkpoint, "init": s.seeds.init, "search": s.seeds.search}
    return group(record, by) | {"key": s.key, "task_file": _task_file(record)} | seeds


def _task_file(record: Record) -> str:
    """Return the version of the file that a run's task is; empty where it is none."""
    spec = record.spec
    return str(record.versions.get("task_sha256", spec.source)) if is_file(name_of(spec.task)) else ""


def _join_searches(thresholds: Sequence[float], runs: Sequence[tuple[int, Columns]]) -> pd.DataFrame:
    """Join the searches of numbered runs that have the same columns."""
    members = [c for _, c in runs]
    sizes, word_counts = [len(c) for c in members], [len(c.words) for c in members]
    by_name = dict(zip(members[0].names, np.concatenate([c.rows for c in members]).T, strict=True))
    first_word = np.repeat(np.cumsum([0, *word_counts[:-1]]), sizes)  # index of a run's first word among all
    all_words = np.array([w for c in members for w in c.words], object)
    texts = {k: all_words[by_name[k].astype(int) + first_word] for k in ("start", *TEXTS)}
    numbers = {k: by_name[k].astype(int) if k in WHOLE else by_name[k] for k in NUMBERS}
    losses = {k: np.where(np.isnan(by_name[k]), np.inf, by_name[k]) for k in ("loss", "best")}
    images = np.concatenate([c.images for c in members]).astype(str).astype(object)
    columns = {"run": np.repeat([i for i, _ in runs], sizes), "place": np.concatenate([np.arange(n) for n in sizes])}
    columns |= texts | numbers | losses | {"image": [image or None for image in images]}
    columns |= {k: v for k, v in by_name.items() if k.startswith("beside:")}
    columns |= {f"met {t:g}": by_name[f"met {i}"] for i, t in enumerate(thresholds)}
    return pd.DataFrame(columns).rename(columns={"distance_to_prior": "norm", "norm_u": "norm u"})


def is_random(start: str) -> bool:
    """Return whether a start depends on the init seed."""
    name, _, count = start.partition(":")
    return name in ("random", "data") or (name == "encoder" and count not in ("", "1"))


def start_order(start: str) -> tuple[int, str]:
    """Return a sort key of kinds of start, in the order of STARTS."""
    name = start.partition(":")[0]
    return list(STARTS).index(name) if name in STARTS else len(STARTS), start


def by_start(searches: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each kind of start with its searches."""
    kinds = sorted(searches.start.unique(), key=start_order)
    for start in kinds:
        yield start, cast(pd.DataFrame, searches[searches.start == start]) if len(kinds) > 1 else searches


def thresholds(searches: pd.DataFrame) -> list[float]:
    """Return the thresholds that any search had, largest first."""
    requested = [c for c in searches if str(c).startswith("met ") and searches[c].notna().to_numpy().any()]
    return sorted((float(str(c).removeprefix("met ")) for c in requested), reverse=True)
