"""Records as one table: a row a search, with all that tells it from the others."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
from torch import Tensor

from lso_bench.analysis.fields import FIELDS, number, told, value
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.starts import STARTS
from lso_bench.store.columns import NUMBERS, WHOLE, Columns

GROUP = (  # searches that differ in nothing of this are pooled, kind of start by kind of start
    "task",
    "searcher",
    "model",
    "arch",
    "latent",
    "decoding",
    "device",
    "region",
    "max_steps",
    "budget",
    "seconds",
    "patience",
    "check_every",
    "joint",
)


TOGETHER = ("task", "arch", "latent", "decoding", "device")  # whose groups stand in one table


class Files(Protocol):
    """What a record leaves on disk; a Store has it. None: not whole, and left out of what needs it."""

    def trace(self, spec: Spec) -> pd.DataFrame | None: ...
    def costs(self, spec: Spec) -> pd.DataFrame | None: ...
    def tensors(self, spec: Spec) -> dict[str, Tensor] | None: ...


def group(record: Record, by: Sequence[str] = ()) -> dict[str, Any]:
    """What the measures of its searches are pooled by, and the fields (`analysis.fields`) that split them."""
    return {k: FIELDS[k](record) for k in GROUP} | {k: told(value(record, k)) for k in by}


def sort_key(record: Record, by: Sequence[str] = ()) -> tuple:
    """An order of records that does not depend on where they come from."""
    split = [(isinstance(v, str), v) for v in (number(told(value(record, k))) for k in by)]
    return (*[str(FIELDS[k](record)) for k in GROUP], *split, record.spec.key)


def table(records: Sequence[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """A row a search, in the order of records and members; thresholds not met are infinite, `met 0.05` and so on.

    Beside the group and `line`, its number: key, place (in its record), seeds (train, init, search), weights, start,
    the start's `code` (what starts it: the label, and the init seed where that draws), instance, losses, what it
    spent, what was noted beside (`beside:log_density` and so on).
    """
    runs = sorted(records, key=lambda r: sort_key(r, by))
    if not runs:
        return pd.DataFrame(columns=[*GROUP, *by, "instance"])
    heads = pd.DataFrame([_head(r, by) for r in runs]).astype(dict.fromkeys(("budget", "seconds", "patience"), float))
    heads["line"] = heads.groupby([*GROUP, *by], sort=False, dropna=False).ngroup()
    parts = [Columns.from_members(r.members) for r in runs]
    alike: dict[tuple, list[int]] = {}
    for i, (r, c) in enumerate(zip(runs, parts, strict=True)):
        alike.setdefault((c.names, r.spec.thresholds), []).append(i)
    found = [_joined(thresholds, [(i, parts[i]) for i in these]) for (_, thresholds), these in alike.items()]
    rows = pd.concat(found).sort_values(["run", "place"], kind="stable", ignore_index=True)
    searches = pd.concat([rows, heads.take(rows.run).reset_index(drop=True)], axis=1)
    more = searches.init.astype(str).where(searches.start.map({s: drawn(s) for s in searches.start.unique()}), "")
    return searches.assign(code=(searches.start + " " + more).str.rstrip()).drop(columns="run")


def _head(record: Record, by: Sequence[str]) -> dict[str, object]:
    """What all searches of a run share."""
    s = record.spec
    seeds = {"train": s.model.seed, "weights": s.checkpoint, "init": s.seeds.init, "search": s.seeds.search}
    return group(record, by) | {"key": s.key, "source": s.source} | seeds


def _joined(thresholds: Sequence[float], runs: Sequence[tuple[int, Columns]]) -> pd.DataFrame:
    """The searches of runs, given with their numbers, that have the same columns."""
    parts = [c for _, c in runs]
    sizes, words = [len(c) for c in parts], [len(c.words) for c in parts]
    by_name = dict(zip(parts[0].names, np.concatenate([c.rows for c in parts]).T, strict=True))
    first = np.repeat(np.cumsum([0, *words[:-1]]), sizes)  # of a run's words among all
    start = np.array([w for c in parts for w in c.words], object)[by_name["start"].astype(int) + first]
    numbers = {k: by_name[k].astype(int) if k in WHOLE else by_name[k] for k in NUMBERS}
    lost = {k: np.where(np.isnan(by_name[k]), np.inf, by_name[k]) for k in ("loss", "best")}
    images = np.concatenate([c.images for c in parts]).astype(str).astype(object)
    named = {"run": np.repeat([i for i, _ in runs], sizes), "place": np.concatenate([np.arange(n) for n in sizes])}
    named |= {"start": start} | numbers | lost | {"image": [image or None for image in images]}
    named |= {k: v for k, v in by_name.items() if k.startswith("beside:")}
    named |= {f"met {t:g}": by_name[f"met {i}"] for i, t in enumerate(thresholds)}
    return pd.DataFrame(named).rename(columns={"distance_to_prior": "norm"})


def drawn(start: str) -> bool:
    """Whether another init seed makes another start of it."""
    name, _, count = start.partition(":")
    return name in ("random", "data") or (name == "encoder" and count not in ("", "1"))


def rank(start: str) -> tuple[int, str]:
    """The order in which kinds of starts are named."""
    name = start.partition(":")[0]
    return list(STARTS).index(name) if name in STARTS else len(STARTS), start


def by_start(searches: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each kind of start and its searches."""
    kinds = sorted(searches.start.unique(), key=rank)
    for start in kinds:
        yield start, cast(pd.DataFrame, searches[searches.start == start]) if len(kinds) > 1 else searches


def thresholds(searches: pd.DataFrame) -> list[float]:
    """That any of these searches looked for, largest first."""
    asked = searches.filter(like="met ").dropna(axis=1, how="all").columns
    return sorted((float(c.removeprefix("met ")) for c in asked), reverse=True)
