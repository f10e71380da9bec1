"""Results of schemas before the present one, in the present form.

What was not noted then is what the program did then: one way to decode, no limit of time or patience, a step an
evaluation of one point. Of `best` only the first and last loss are known here, of seconds on the way nothing.
"""

from typing import Any

import numpy as np
import pandas as pd

from lso_bench.spec import SCHEMA, Spec, digest, spec_from_json

NEW_IN_2: dict[str, Any] = {"seconds": None, "patience": None, "joint": False}  # of a spec


def present(raw: dict[str, Any]) -> dict[str, Any]:
    """A result in the present form; its `versions` name an older schema.

    Raises:
        ValueError: of a newer schema, or of none that there was.
        KeyError, TypeError, AttributeError: not as its schema says.
    """
    if raw["schema"] == SCHEMA:
        return raw
    if raw["schema"] > SCHEMA:
        raise ValueError(f"schema {raw['schema']} is newer than {SCHEMA}; update lso-bench")
    if raw["schema"] != 1:
        raise ValueError(f"there never was a schema {raw['schema']}")
    return _from_1(raw)


def spec_of(raw: dict[str, Any]) -> Spec:
    """The spec of a result, with the key that it was stored by: the hash of what a spec was in its schema.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: as `present`.
    """
    spec = spec_from_json(present(raw)["spec"])
    if raw["schema"] != SCHEMA:
        object.__setattr__(spec, "key", digest(raw["schema"], raw["spec"]))
    return spec


def costs_of(trace: pd.DataFrame) -> pd.DataFrame:
    """What a run of schema 1, which has no `costs.csv`, had spent at each recorded step; seconds are unknown."""
    steps = np.unique(trace.step)
    return pd.DataFrame({"step": steps, "evaluations": steps + 1, "seconds": np.nan})


def _from_1(raw: dict[str, Any]) -> dict[str, Any]:
    spec = dict(raw["spec"])
    box, convolutional = spec.pop("box"), spec["model"]["arch"] == "conv"  # the one decoder that was not autoregressive
    spec |= {"region": "none" if box is None else f"box:{box:g}", "decoding": "mean" if convolutional else "teacher"}
    members = [_member_of_1(m, spec["max_steps"]) for m in raw["members"]]
    versions = raw["versions"] | {"schema": 1}
    return raw | {"spec": spec | NEW_IN_2, "members": members, "versions": versions, "joint": {}}


def _member_of_1(raw: dict[str, Any], max_steps: int) -> dict[str, Any]:
    """Each of its `steps` scored one point, as did the start."""
    losses = [loss for loss in (raw["first_loss"], raw["loss"]) if loss is not None]
    if raw["loss"] is None:
        stopped = "diverged"
    elif all(step is not None for step in raw["met"]):
        stopped = "converged"
    else:
        stopped = "steps" if raw["steps"] >= max_steps else "budget"
    return raw | {"best": min(losses, default=None), "evaluations": raw["steps"] + 1, "stopped": stopped}
