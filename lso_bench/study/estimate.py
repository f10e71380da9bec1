"""How long runs will take, by runs like them that were measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.study.grid import PlannedRun
from lso_bench.vae.notation import name_of


@dataclass(frozen=True)
class Estimate:
    """Seconds of runs one after the other, and those of which no like was measured."""

    seconds: float
    measured: int  # runs that the seconds are of
    unknown: list[str]  # titles


def estimate(planned: Sequence[PlannedRun], records: Iterable[Record]) -> Estimate:
    """By the median of what runs of the same architecture, task and searcher took, a step or evaluation.

    Those that descend are reckoned to take all their steps.
    """
    rates: dict[tuple[str, ...], list[float]] = {}
    for r in records:
        spent = r.spec.budget or r.counts.get("steps", 0)
        if r.status == "ok" and spent and "total" in r.seconds:
            rates.setdefault(_kind(r.spec), []).append(r.seconds["total"] / spent)
    usual = {kind: median(several) for kind, several in rates.items()}
    known = [p.spec for p in planned if _kind(p.spec) in usual]
    seconds = sum((usual[_kind(s)] * (s.budget or s.max_steps) for s in known), 0.0)
    return Estimate(seconds, len(known), [p.spec.title for p in planned if _kind(p.spec) not in usual])


def _kind(spec: Spec) -> tuple[str, ...]:
    return spec.model.arch, str(spec.model.latent), spec.task, name_of(spec.searcher)
