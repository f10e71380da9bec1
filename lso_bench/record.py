"""Record of one run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from lso_bench.spec import Spec


@dataclass(frozen=True)
class Member:
    """One search of a run: one instance from one start. Losses are minus the score."""

    start: str  # as in the spec: "random", "data:10"
    instance: int
    first_loss: float  # of the best of its start's codes
    loss: float  # where it ended: of a searcher that descends where it stands, of another the best that it has seen
    steps: int  # taken
    met: list[int | None]  # the step at which each threshold of the spec was met; None: not within the run
    distance_to_prior: float  # |z| where it ended
    best: float  # the lowest loss that it has seen
    evaluations: int  # spent
    stopped: str  # why it ended: converged, finished, diverged, patience, budget, time, steps
    consistency: float = math.nan  # |mu(x) - z| where it ended, x the decoded image; NaN: not noted
    image: str = ""  # of x: 16 hexadecimal digits of its sha256, by which equal ones are told
    beside: dict[str, float] = field(default_factory=dict)  # what the task reports of the decoded image, by name


FILES = ("trace", "costs", "tensors")  # fields of a record that have files of their own


@dataclass(frozen=True)
class Record:
    """The outcome of a spec and how it came about."""

    spec: Spec
    status: Literal["ok", "diverged", "failed", "timeout"]
    members: Sequence[Member] = ()
    counts: dict[str, int] = field(default_factory=dict)  # steps, evaluations, gradients, decodes; a searcher's own
    seconds: dict[str, float] = field(default_factory=dict)  # by phase: propose, fit, decode, score, total
    versions: dict[str, Any] = field(default_factory=dict)  # of code, torch, data; device, threads
    error: str | None = None
    joint: dict[str, list[int | None]] = field(default_factory=dict)  # by start: the step at which the mean over its
    # problems met each threshold; None: not as long as all of them were there
    usual: dict[str, float] = field(default_factory=dict)  # `beside` of test images: medians, of `valid` the share
    trace: pd.DataFrame | None = None  # a row a recorded step and member: step, start, instance, loss
    costs: pd.DataFrame | None = None  # a row a recorded step: evaluations of a problem, seconds of the search, so far
    tensors: dict[str, Tensor] = field(default_factory=dict)  # z (k, d), z_met (k, t, d), decoded and targets, uint8
