"""Fields of runs by name, to select runs and to split rows."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from lso_bench.errors import UsageError, unknown
from lso_bench.plugins.notation import is_object, name_of, parts, read, real, short_name, with_home_folder
from lso_bench.plugins.settings import settings_of
from lso_bench.record import Record
from lso_bench.run_settings import IN_TABLES
from lso_bench.runner.identity import recorded_version
from lso_bench.study.spelling import means, spelled
from lso_bench.vae.objectives import OBJECTIVES

UNKNOWN = "unknown"  # device of a run whose process died
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
    "starts": lambda r: ",".join(r.spec.starts),
    **{name: attrgetter(f"spec.{name}") for name in IN_TABLES},
    "seed.train": lambda r: r.spec.model.seed,
    "seed.init": lambda r: r.spec.seeds.init,
    "seed.search": lambda r: r.spec.seeds.search,
    "device": lambda r: r.versions.get("device", UNKNOWN),
    "threads": lambda r: r.versions.get("threads"),
    "compiled": lambda r: r.versions.get("compiled"),
    "captured": lambda r: r.versions.get("captured", False),
    "version": lambda r: r.versions.get("lso_bench"),
    "torch": lambda r: r.versions.get("torch"),
    "task_sha256": lambda r: recorded_version("task", r.spec, r.versions).get("task_sha256"),
    "task_package": lambda r: recorded_version("task", r.spec, r.versions).get("task_package"),
    "searcher_sha256": lambda r: recorded_version("searcher", r.spec, r.versions).get("searcher_sha256"),
    "searcher_package": lambda r: recorded_version("searcher", r.spec, r.versions).get("searcher_package"),
}
ALIASES = {  # names of the record
    "model.name": "model",
    "model.data": "data",
    "model.arch": "arch",
    "model.latent": "latent",
    "model.seed": "seed.train",
    "seeds.init": "seed.init",
    "seeds.search": "seed.search",
}
HASHES = ("key", "checkpoint", "source", "task_sha256", "searcher_sha256")  # known by their first digits
DIGITS = 6  # the fewest of them
SEEDS = ("seed.train", "seed.init", "seed.search")
KINDS = ("searcher", "task", "model")  # kinds with settings
RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A condition on a field: equal to one of `values` (=), to none (!=), or less or more than the only one."""

    field: str  # as `named` returns it
    relation: str
    values: tuple[str, ...]

    def holds(self, record: Record) -> bool:
        actual = value(record, self.field)
        if self.relation in RELATIONS:
            return isinstance(actual, int | float) and RELATIONS[self.relation](actual, float(self.values[0]))
        if self.field == "starts":  # a list is one value of this field
            return ({*self.values} == {*actual.split(",")}) == (self.relation == "=")
        return any(_matches(actual, v, self.field) for v in self.values) == (self.relation == "=")


def value(record: Record, field: str) -> Any:
    """Return a field of a run, or a setting of its searcher, task or model (`searcher.lr`); None if it has none."""
    if field in FIELDS:
        return FIELDS[field](record)
    kind, _, setting = field.partition(".")
    return settings(kind, FIELDS[kind](record)).get(setting)


def named(field: str, records: Iterable[Record]) -> str:
    """Return the full name of a field, from a full or short name.

    Raises:
        UsageError: no field has that name, or several have.
    """
    field = ALIASES.get(field, field)
    if field in FIELDS:
        return field
    texts = {(k, FIELDS[k](r)) for r in records for k in KINDS}
    known = {f"{k}.{setting}" for k, text in texts for setting in settings(k, text)} | {f for f in FIELDS if "." in f}
    matches = sorted(t for t in known if field in (t, t.partition(".")[2]) or (field == "seed" and t in SEEDS))
    if len(matches) > 1:
        raise UsageError(f"{field!r} may be several fields; say {' or '.join(matches)}.")
    if not matches:
        raise unknown("field", field, [*{*FIELDS, *(t.partition(".")[2] for t in known)}])
    return matches[0]


def conditions(
    texts: Iterable[str], values_by_field: Mapping[str, object], records: Sequence[Record], option: str = "where"
) -> list[Condition]:
    """Return the conditions of texts as `beta<1`, and of fields with their wanted values.

    Raises:
        UsageError: a text is no condition, or a field does not exist; `option` is named in the message.
    """
    parsed = []
    for text in texts:
        match = re.fullmatch(r"\s*([\w.]+)\s*(!=|<=|>=|=|<|>)\s*(.+?)\s*", text)
        if not match:
            raise UsageError(f"{option}: wanted a field, one of = != < > <= >=, and a value, not {text!r}.")
        field, relation, values = match.groups()
        if relation in RELATIONS and isinstance(number(values), str):
            raise UsageError(f"{option}: {field}{relation} wants a number, not {values!r}.")
        try:
            listed = dict.fromkeys(map(with_home_folder, parts(values)))
        except ValueError as error:
            raise UsageError(f"{option} {text!r}: {error}.") from error
        if not all(listed):
            raise UsageError(f"{option}: wanted values separated by commas, not {values!r}.")
        parsed.append(Condition(named(field, records), relation, tuple(listed)))
    for field, values in values_by_field.items():
        listed = values if isinstance(values, list | tuple | range | set) else [values]
        parsed.append(Condition(named(field, records), "=", tuple(map(_wanted_text, listed))))
    return parsed


def _wanted_text(value: object) -> str:
    """Return a wanted value as a condition has it."""
    return "none" if value is None else repr(value) if isinstance(value, float) else field_text(value)


def chosen(records: Sequence[Record], conditions: Iterable[Condition]) -> list[Record]:
    """Return the runs that satisfy all conditions.

    Raises:
        UsageError: no run does; the message names the condition that leaves none, and the existing values.
    """
    left = [*records]
    for c in conditions:
        before, left = left, [r for r in left if c.holds(r)]
        if not left:
            values = sorted({repr(shown(value(r, c.field), c.field)) for r in before})
            suffix = f" and {len(values) - 6} more" if len(values) > 6 else ""
            condition = f"{c.field}{c.relation}{','.join(c.values)}"
            raise UsageError(f"No run has {condition}; there {c.field} is {', '.join(values[:6])}{suffix}.")
    return left


@lru_cache(maxsize=4096)
def settings(kind: str, text: str) -> dict[str, Any]:
    """Return the settings of a searcher, task or model.

    A model of this package also has the settings that its name stands for (`beta_vae_0.9`).
    """
    name, values = read(text)
    defaults = _model_settings(name) if kind == "model" else {}
    return defaults | {k: _setting(v) for k, v in values.items()}


def field_text(raw: Any) -> str:
    """Return a field's value as text; empty for None."""
    if isinstance(raw, bool):
        return str(raw).lower()
    return "" if raw is None else f"{raw:g}" if isinstance(raw, float) else str(raw)


def shown(raw: Any, field: str) -> str:
    """Return a field's value as a text that a condition takes; of a hash its first 8 digits."""
    return field_text(raw)[:8] if field in HASHES else field_text(raw)


def number(text: str) -> float | str:
    """Return a number if the text is one, the text otherwise."""
    try:
        return real(text)
    except ValueError:
        return text


def _setting(text: str) -> bool | float | str:
    return text.lower() == "true" if text.lower() in ("true", "false") else number(text)


def _model_settings(name: str) -> dict[str, Any]:
    is_safe = OBJECTIVES.is_built_in(name)  # a file that a result names is never executed
    return settings_of(OBJECTIVES.build(name)) if is_safe else {}


def _matches(actual: Any, requested: str, field: str) -> bool:
    if isinstance(actual, bool):
        return requested.lower() == field_text(actual)
    if isinstance(actual, int | float):
        return actual == number(requested)
    if actual is None:
        return requested == "none"
    if is_object(actual):
        return requested in (actual, name_of(actual), short_name(actual))
    if field in HASHES and len(requested) >= DIGITS:
        return actual.startswith(requested)
    if field in ("task", "searcher"):
        return means(field, requested, actual)
    return spelled(field, requested) == spelled(field, actual)
