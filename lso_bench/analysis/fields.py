"""The fields of runs by name: to choose runs by what they are, and to split rows."""

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lso_bench.errors import UsageError, unknown
from lso_bench.record import Record
from lso_bench.study.spelling import means, spelled
from lso_bench.vae import zoo
from lso_bench.vae.notation import read, real
from lso_bench.vae.settings import settings_of

FIELDS: dict[str, Callable[[Record], Any]] = {
    "key": lambda r: r.spec.key,
    "status": lambda r: r.status,
    "task": lambda r: r.spec.task,
    "searcher": lambda r: r.spec.searcher,
    "model": lambda r: r.spec.model.name,
    "data": lambda r: r.spec.model.data,
    "arch": lambda r: r.spec.model.arch,
    "latent": lambda r: r.spec.model.latent,
    "checkpoint": lambda r: r.spec.checkpoint,
    "source": lambda r: r.spec.source,
    "decoding": lambda r: r.spec.decoding,
    "region": lambda r: r.spec.region,
    "starts": lambda r: ", ".join(r.spec.starts),
    "max_steps": lambda r: r.spec.max_steps,
    "budget": lambda r: r.spec.budget,
    "seconds": lambda r: r.spec.seconds,
    "patience": lambda r: r.spec.patience,
    "check_every": lambda r: r.spec.check_every,
    "joint": lambda r: r.spec.joint,
    "seed.train": lambda r: r.spec.model.seed,
    "seed.init": lambda r: r.spec.seeds.init,
    "seed.search": lambda r: r.spec.seeds.search,
    "device": lambda r: r.versions.get("device", "unknown"),
    "threads": lambda r: r.versions.get("threads"),
    "compiled": lambda r: r.versions.get("compiled"),
    "captured": lambda r: r.versions.get("captured", False),
    "version": lambda r: r.versions.get("lso_bench"),
    "torch": lambda r: r.versions.get("torch"),
    "task_sha256": lambda r: r.versions.get("task_sha256"),
    "searcher_sha256": lambda r: r.versions.get("searcher_sha256"),
}
ALSO = {  # as the record says it
    "model.name": "model",
    "model.data": "data",
    "model.arch": "arch",
    "model.latent": "latent",
    "model.seed": "seed.train",
    "seeds.init": "seed.init",
    "seeds.search": "seed.search",
}
SEEDS = ("seed.train", "seed.init", "seed.search")
KINDS = ("searcher", "task", "model")  # what has settings
RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """That a field is one of `values` (=), none of them (!=), or less or more than the one that is given."""

    field: str  # as `named` gives it
    relation: str
    values: tuple[str, ...]

    def holds(self, record: Record) -> bool:
        found = value(record, self.field)
        if self.relation in RELATIONS:
            return isinstance(found, int | float) and RELATIONS[self.relation](found, float(self.values[0]))
        return any(_is(found, v, self.field) for v in self.values) == (self.relation == "=")


def value(record: Record, field: str) -> Any:
    """A field of a run, or a setting of its searcher, task or model (`searcher.lr`); None: it has no such."""
    if field in FIELDS:
        return FIELDS[field](record)
    kind, _, setting = field.partition(".")
    return settings(kind, FIELDS[kind](record)).get(setting)


def named(field: str, records: Iterable[Record]) -> str:
    """The field that is meant.

    Raises:
        UsageError: there is none of that name, or several.
    """
    field = ALSO.get(field, field)
    if field in FIELDS:
        return field
    texts = {(k, FIELDS[k](r)) for r in records for k in KINDS}
    there = {f"{k}.{setting}" for k, text in texts for setting in settings(k, text)} | {f for f in FIELDS if "." in f}
    meant = sorted(t for t in there if field in (t, t.partition(".")[2]) or (field == "seed" and t in SEEDS))
    if len(meant) > 1:
        raise UsageError(f"{field!r} may be several fields; say {' or '.join(meant)}.")
    if not meant:
        raise unknown("field", field, [*{*FIELDS, *(t.partition(".")[2] for t in there)}])
    return meant[0]


def chosen(records: Sequence[Record], conditions: Iterable[Condition]) -> list[Record]:
    """Those for which all conditions hold.

    Raises:
        UsageError: there are none; says which condition leaves none, and what there is.
    """
    left = [*records]
    for c in conditions:
        there, left = left, [r for r in left if c.holds(r)]
        if not left:
            found = sorted({repr(field_text(value(r, c.field))[:60]) for r in there})
            more = f" and {len(found) - 6} more" if len(found) > 6 else ""
            wanted = f"{c.field}{c.relation}{','.join(c.values)}"
            raise UsageError(f"No run has {wanted}; there {c.field} is {', '.join(found[:6])}{more}.")
    return left


@lru_cache(maxsize=4096)
def settings(kind: str, text: str) -> dict[str, Any]:
    """Those of a searcher, task or model; of our own models also those that the name stands for (`beta_vae_0.9`)."""
    name, values = read(text)
    usual = _of_model(name) if kind == "model" else {}
    return usual | {k: _setting(v) for k, v in values.items()}


def field_text(found: Any) -> str:
    """A field's value as text; of what a run does not have, none."""
    if isinstance(found, bool):
        return str(found).lower()
    return "" if found is None else f"{found:g}" if isinstance(found, float) else str(found)


def number(text: str) -> float | str:
    """A number if it is one."""
    try:
        return real(text)
    except ValueError:
        return text


def _setting(text: str) -> bool | float | str:
    return text.lower() == "true" if text.lower() in ("true", "false") else number(text)


def _of_model(name: str) -> dict[str, Any]:
    return settings_of(zoo.objective(name)) if zoo.is_ours(name) else {}  # no file that a result names is run


def _is(found: Any, wanted: str, field: str) -> bool:
    if isinstance(found, bool):
        return wanted.lower() == field_text(found)
    if isinstance(found, int | float):
        return found == number(wanted)
    if found is None:
        return wanted == "none"
    if field in ("task", "searcher"):
        return means(field, wanted, found)
    return spelled(field, wanted) == spelled(field, found)
