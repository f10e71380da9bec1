"""Build a record from its JSON form in any schema; values that do not match the types of a record are refused.

Fields that older schemas lack get the values that the program used then: one way to decode, no limit of time or
patience, one evaluation a step. `best` is known from the first and last loss only.
"""

import math
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lso_bench.bounds import is_name, is_number, is_text, is_whole
from lso_bench.record import ADDED, FILES, LONGEST_TEXT, Record, SearchResult
from lso_bench.run_settings import RUN_SETTINGS
from lso_bench.spec import SCHEMA, Seeds, Spec, digest, spec_from_json
from lso_bench.vae.trained_model import Model

PLAIN_KINDS: dict[Any, Callable[[Any], bool]] = {float: is_number, int: is_whole, str: is_text}
IMAGE = re.compile("([0-9a-f]{1,16})?")
PLAIN = [
    f.name for f in fields(Record) if f.name not in ("spec", "members", *FILES)
]  # fields that a result stores as they are
LONGEST = 60  # characters of a value in a message
OPTIONAL_FIELDS = [f.name for f in fields(Record) if f.metadata == ADDED]
NEW_IN_2 = {s.name: s.default for s in RUN_SETTINGS.values() if s.since == 2}
NUMBERS = [f.name for f in fields(Record) if f.type in (float, dict[str, float])]  # fields whose null stands for NaN


def record_from(raw: dict[str, Any]) -> Record:
    """Return the record, without trace and tensors, of a result of the current or an older schema.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the form is wrong, or the schema is newer.
    """
    spec, raw = spec_of(raw), _present(raw)
    members = [_member(m) for m in raw["members"]]
    known: dict[str, Any] = {k: raw[k] for k in PLAIN if k in raw or k not in OPTIONAL_FIELDS}
    known |= {k: _number(known[k]) for k in NUMBERS if k in known}
    record = Record(spec, members=members, **known)
    _check(record)
    return record


def spec_of(raw: dict[str, Any]) -> Spec:
    """Return the spec of a result, with the key under which it was stored: the hash of the spec in its own schema.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: as for `record_from`.
    """
    spec = spec_from_json(_present(raw)["spec"])
    if raw["schema"] != SCHEMA:
        object.__setattr__(spec, "key", digest(raw["schema"], raw["spec"]))
    return spec


def unreadable(planned: Spec | Model | Seeds) -> str:
    """Return the first field of a spec or model that no result can store, with its value; empty if there is none."""
    for name, fits in _fields(type(planned)).items():
        value = getattr(planned, name)
        if isinstance(value, Model | Seeds) and (inner := unreadable(value)):
            return f"{name} {inner}"
        if not (fits(value) and all(map(_is_plain, value if isinstance(value, tuple) else [value]))):
            return f"{name} {str(value)[:LONGEST]!r}"
    return ""


def _is_plain(value: Any) -> bool:
    """Return whether a value is neither an infinite number nor a name that no command can pass."""
    return (not isinstance(value, float) or math.isfinite(value)) and (not isinstance(value, str) or is_name(value))


def _present(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a result in the current form; its `versions` name the older schema.

    Raises:
        ValueError: the schema is newer, or never existed.
        KeyError, TypeError, AttributeError: the result does not follow its schema.
    """
    if raw["schema"] == SCHEMA:
        return raw
    if raw["schema"] > SCHEMA:
        raise ValueError(f"schema {raw['schema']} is newer than {SCHEMA}; update lso-bench")
    if raw["schema"] != 1:
        raise ValueError(f"there never was a schema {raw['schema']}")
    return _from_schema_1(raw)


def _from_schema_1(raw: dict[str, Any]) -> dict[str, Any]:
    spec = dict(raw["spec"])
    # "conv" was the only decoder that was not autoregressive.
    box, convolutional = spec.pop("box"), spec["model"]["arch"] == "conv"
    spec |= {"region": "none" if box is None else f"box:{box:g}", "decoding": "mean" if convolutional else "teacher"}
    members = [_member_from_schema_1(m, spec["max_steps"]) for m in raw["members"]]
    versions = raw["versions"] | {"schema": 1}
    return raw | {"spec": spec | NEW_IN_2, "members": members, "versions": versions, "joint": {}}


def _member_from_schema_1(raw: dict[str, Any], max_steps: int) -> dict[str, Any]:
    """Convert a member; the start and each of its `steps` took one evaluation."""
    losses = [loss for loss in (raw["first_loss"], raw["loss"]) if loss is not None]
    if raw["loss"] is None:
        stopped = "diverged"
    elif all(step is not None for step in raw["met"]):
        stopped = "converged"
    else:
        stopped = "steps" if raw["steps"] >= max_steps else "budget"
    return raw | {"best": min(losses, default=None), "evaluations": raw["steps"] + 1, "stopped": stopped}


def _member(raw: dict[str, Any]) -> SearchResult:
    values = _number(raw)
    values["beside"] = _number(values.get("beside", {}))
    return SearchResult(**values)


def _number(raw: Any) -> Any:
    """Replace None by NaN, also as the values of a dictionary."""
    if isinstance(raw, dict):
        return {k: math.nan if v is None else v for k, v in raw.items()}
    return math.nan if raw is None else raw


def _check(record: Record) -> None:
    for name, fits in _fields(Record).items():
        if not fits(getattr(record, name)):
            raise ValueError(f"{name} is not as it is in a record")
    if not all(v is None or isinstance(v, int | float) or checker(str)(v) for v in record.versions.values()):
        raise ValueError("versions are not words and numbers")
    spec = record.spec
    if any(m.start not in spec.starts or len(m.met) != len(spec.thresholds) for m in record.members):
        raise ValueError("its searches are not those of its spec")
    if not all(IMAGE.fullmatch(m.image) for m in record.members):
        raise ValueError("an image is not 16 hexadecimal digits")
    if any(len(text) > LONGEST_TEXT for m in record.members for text in (m.text, m.final_text, m.nearest)):
        raise ValueError(f"a text of a search has more than {LONGEST_TEXT:,} characters")
    if any(len(steps) != len(spec.thresholds) for steps in record.joint.values()):
        raise ValueError("its joint stops are not those of its spec")


@lru_cache
def _fields(kind: type) -> dict[str, Callable[[Any], bool]]:
    """Return a check for each field of a dataclass."""
    return {name: checker(hint) for name, hint in get_type_hints(kind).items()}


@lru_cache
def checker(hint: Any) -> Callable[[Any], bool]:
    """Return a function that checks whether a value has the type `hint`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in arguments
    if origin in (Union, UnionType):
        any_of = [checker(a) for a in arguments]
        return lambda value: any(fits(value) for fits in any_of)
    if isinstance(origin, type) and issubclass(origin, dict):
        key, item = map(checker, arguments)
        return lambda value: isinstance(value, dict) and all(key(k) and item(v) for k, v in value.items())
    if isinstance(origin, type):  # a list, tuple or sequence of one type
        each = checker(arguments[0])
        return lambda value: isinstance(value, origin) and not isinstance(value, str) and all(map(each, value))
    return _plain(hint)


def _plain(hint: Any) -> Callable[[Any], bool]:
    if hint is Any:
        return lambda value: True
    if hint in PLAIN_KINDS:
        return PLAIN_KINDS[hint]
    if isinstance(hint, type) and is_dataclass(hint):
        parts = _fields(hint)
        return lambda value: isinstance(value, hint) and all(fits(getattr(value, k)) for k, fits in parts.items())
    return lambda value: type(value) is hint
