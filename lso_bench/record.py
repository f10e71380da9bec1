"""What one run gave."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from lso_bench.spec import Spec


@dataclass(frozen=True)
class Member:
    """One search of a run: one instance from one start. Losses are minus the score."""

    start: str  # "random", "encoder"
    instance: int
    first_loss: float
    loss: float  # of the last step
    steps: int  # taken
    met: list[int | None]  # the step at which each threshold of the spec was met; None: not within the run
    distance_to_prior: float  # |z| of the last code


@dataclass(frozen=True)
class Record:
    """The outcome of a spec and how it came about."""

    spec: Spec
    status: Literal["ok", "diverged", "failed"]
    members: list[Member] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # steps, evaluations, gradients
    seconds: dict[str, float] = field(default_factory=dict)  # by phase: propose, decode, score, total
    versions: dict[str, Any] = field(default_factory=dict)  # of code, torch, data; device, threads
    error: str | None = None
    trace: pd.DataFrame | None = None  # a row a recorded step and member: step, start, instance, loss
    tensors: dict[str, Tensor] = field(default_factory=dict)  # z (k, d), z_met (k, t, d), decoded and targets, uint8
