"""Records as one table: a row a search, with all that tells it from the others."""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import pandas as pd
from torch import Tensor

from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.starts import STARTS

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


class Files(Protocol):
    """What a record leaves on disk; a Store has it."""

    def trace(self, spec: Spec) -> pd.DataFrame: ...
    def costs(self, spec: Spec) -> pd.DataFrame: ...
    def tensors(self, spec: Spec) -> dict[str, Tensor]: ...


def group(record: Record) -> dict[str, object]:
    """What the measures of its searches are pooled by."""
    s, m = record.spec, record.spec.model
    of_spec = {k: getattr(s, k) for k in GROUP if hasattr(s, k) and k != "model"}
    known = {"model": m.name, "arch": m.arch, "latent": m.latent, "device": record.versions.get("device", "unknown")}
    return {k: (of_spec | known)[k] for k in GROUP}


def sort_key(record: Record) -> tuple[str, ...]:
    """An order of records that does not depend on where they come from."""
    return (*map(str, group(record).values()), record.spec.key)


def table(records: Sequence[Record]) -> pd.DataFrame:
    """A row a search, in the order of records and members; thresholds not met are infinite, `met 0.05` and so on.

    Beside the group: key, place (in its record), seeds (train, init, search), weights, start, the start's `code` (what
    starts it: the label, and the init seed where that draws), instance, losses, what it spent, what was noted
    beside (`beside:log_density` and so on).
    """
    runs = [_of_run(r) for r in sorted(records, key=sort_key)]
    found = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=[*GROUP, "instance"])
    numbers = ["budget", "seconds", "patience"]
    return found.astype(dict.fromkeys(numbers, float))  # None is NaN: no limit


def _of_run(record: Record) -> pd.DataFrame:
    s = record.spec
    rows = [
        {
            "place": i,
            "start": m.start,
            "code": f"{m.start} {s.seeds.init}" if drawn(m.start) else m.start,
            "instance": m.instance,
            "first_loss": m.first_loss,
            "loss": math.inf if math.isnan(m.loss) else m.loss,
            "best": math.inf if math.isnan(m.best) else m.best,
            "norm": m.distance_to_prior,
            "consistency": m.consistency,
            "image": m.image or None,
            "steps": m.steps,
            "evaluations": m.evaluations,
        }
        | {f"beside:{name}": value for name, value in m.beside.items()}
        | {f"met {t:g}": math.inf if at is None else at for t, at in zip(s.thresholds, m.met, strict=True)}
        for i, m in enumerate(record.members)
    ]
    seeds = {"train": s.model.seed, "weights": s.checkpoint, "init": s.seeds.init, "search": s.seeds.search}
    return pd.DataFrame(rows).assign(**group(record), key=s.key, source=s.source, **seeds)


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
    for start in sorted(searches.start.unique(), key=rank):
        yield start, cast(pd.DataFrame, searches[searches.start == start])


def thresholds(searches: pd.DataFrame) -> list[float]:
    """That any of these searches looked for, largest first."""
    asked = searches.filter(like="met ").dropna(axis=1, how="all").columns
    return sorted((float(c.removeprefix("met ")) for c in asked), reverse=True)
