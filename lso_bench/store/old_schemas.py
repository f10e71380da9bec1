"""Convert results of older schemas to the current schema.

Fields that older schemas lack get the values that the program used then: one way to decode, no limit of time or
patience, one evaluation a step. `best` is known from the first and last loss only. Seconds at recorded steps are
unknown.
"""

from typing import Any

import numpy as np
import pandas as pd

from lso_bench.run_settings import RUN_SETTINGS
from lso_bench.spec import SCHEMA, Spec, digest, spec_from_json

NEW_IN_2 = {s.name: s.default for s in RUN_SETTINGS.values() if s.since == 2}


def present(raw: dict[str, Any]) -> dict[str, Any]:
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


def spec_of(raw: dict[str, Any]) -> Spec:
    """Return the spec of a result, with the key under which it was stored: the hash of the spec in its own schema.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: as for `present`.
    """
    spec = spec_from_json(present(raw)["spec"])
    if raw["schema"] != SCHEMA:
        object.__setattr__(spec, "key", digest(raw["schema"], raw["spec"]))
    return spec


def costs_of(trace: pd.DataFrame) -> pd.DataFrame:
    """Return the cost at each recorded step of a run of schema 1, which has no `costs.csv`; seconds are NaN."""
    steps = np.unique(trace.step)
    return pd.DataFrame({"step": steps, "evaluations": steps + 1, "seconds": np.nan})


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
