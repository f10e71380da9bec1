"""Record of one run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from torch import Tensor

from lso_bench.spec import Spec


@dataclass(frozen=True)
class SearchResult:
    """Result of one search of a run: one instance from one start. Losses are minus the score."""

    start: str  # start as in the spec: "random", "data:10"
    instance: int
    first_loss: float  # loss of the best latent of its start
    loss: float  # final loss; for searchers that do not descend, the lowest loss
    steps: int  # number of steps taken
    met: list[int | None]  # step at which each threshold of the spec was met; None: not met
    distance_to_prior: float  # |z| of the final latent; NaN: the search was one of samples
    best: float  # lowest loss
    evaluations: int  # number of evaluations spent
    stopped: str  # stop reason: converged, finished, diverged, patience, budget, time, steps
    consistency: float = math.nan  # |mu(x) - z| of the final latent z and its decoded image x; NaN: not recorded
    image: str = ""  # 16 hexadecimal digits of the sha256 of x; equal images have equal digits
    beside: dict[str, float] = field(default_factory=dict)  # auxiliary values of the decoded image, by name
    norm_u: float = math.nan  # |u|, the norm of z in the coordinates of the search; NaN: not recorded, they are z
    text: str = ""  # of a task that scores texts: the best valid text of the search; empty: it saw none
    final_text: str = ""  # text that the search ended with, valid or not
    nearest: str = ""  # training row nearest to `text`


RETRIEVED = "retrieved"  # auxiliary value: share of free-running samples that are nearest to the search's own target
SHARES = ("valid", "novel", "exact", RETRIEVED)  # names of auxiliary values in [0, 1], of which reports show the mean
LONGEST_TEXT = 100_000  # characters of a text of a search

FILES = ("trace", "costs", "tensors")  # fields of a record with a file of their own
ADDED = {"optional": True}  # metadata of a field that earlier results of the schema lack; they have its default


@dataclass(frozen=True)
class Record:
    """Outcome of a spec, with its provenance."""

    spec: Spec
    status: Literal["ok", "diverged", "failed", "timeout"]
    members: Sequence[SearchResult] = ()
    counts: dict[str, int] = field(default_factory=dict)  # steps, evaluations, gradients, decodes; the searcher's own;
    # invalid_scores: evaluations that scored NaN; invalid_texts: evaluations of such; distinct_texts: evaluations of a
    # text that is new to its problem
    seconds: dict[str, float] = field(default_factory=dict)  # by phase: propose, fit, decode, score, total, ...
    versions: dict[str, Any] = field(default_factory=dict)  # versions of code, torch and data; device, threads
    error: str | None = None
    joint: dict[str, list[int | None]] = field(default_factory=dict)  # by start: the step at which the mean over its
    # problems met each threshold; None: not met while all of them were active
    usual: dict[str, float] = field(
        default_factory=dict, metadata=ADDED
    )  # `beside` of test samples: medians; of SHARES the fractions; of RETRIEVED that at chance
    trace: pd.DataFrame | None = None  # a row a recorded step and member: step, start, instance, loss
    costs: pd.DataFrame | None = None  # a row a recorded step: evaluations of a problem, seconds of the search, so far
    tensors: dict[str, Tensor] = field(default_factory=dict)  # z (k, d), z_met (k, t, d), decoded and targets: samples,
    # of sequences tokens (k, t), in older results levels 0..255 of their one-hot form (k, t, v); of a space that is not
    # `prior` u (k, c) and u_met (k, t, c), which older results lack

    @property
    def follows_gradient(self) -> bool:
        """Return whether its searcher follows the score's gradient; that of an inversion is of the decoder alone."""
        return bool(self.counts.get("gradients")) and "inversion_fallbacks" not in self.counts


def holds_images(tensors: dict[str, Tensor]) -> bool:
    """Return whether the samples of a run are images, grey or of colour, which can be drawn."""
    decoded = tensors.get("decoded")
    return (
        decoded is not None and str(decoded.dtype) == "torch.uint8" and decoded.ndim == 4 and decoded.shape[1] in (1, 3)
    )
