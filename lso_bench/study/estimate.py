"""Estimate the duration of runs from similar runs that were measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.study.grid import PlannedRun


@dataclass(frozen=True)
class Estimate:
    """Total seconds of runs one after the other, and the runs without a similar measured run."""

    seconds: float
    measured: int  # number of runs in `seconds`
    unknown: list[str]  # titles of runs without a similar measured run


def estimate(planned: Sequence[PlannedRun], records: Iterable[Record]) -> Estimate:
    """Estimate the seconds of runs from measured runs with the same architecture, task and searcher.

    The estimate uses their median time per step or evaluation. Searchers that descend are assumed to take all their
    steps.
    """
    rates: dict[tuple[str, ...], list[float]] = {}
    for r in records:
        spent = r.spec.budget or r.counts.get("steps", 0)
        if r.status == "ok" and spent and "total" in r.seconds:
            rates.setdefault(_kind(r.spec), []).append(r.seconds["total"] / spent)
    median_rates = {kind: median(samples) for kind, samples in rates.items()}
    measured = [p.spec for p in planned if _kind(p.spec) in median_rates]
    seconds = sum((median_rates[_kind(s)] * (s.budget or s.max_steps) for s in measured), 0.0)
    return Estimate(seconds, len(measured), [p.spec.title for p in planned if _kind(p.spec) not in median_rates])


def _kind(spec: Spec) -> tuple[str, ...]:
    network = spec.model.name if spec.model.external else spec.model.arch
    return network, str(spec.model.latent), spec.task, spec.searcher_name
