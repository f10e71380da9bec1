"""What makes runs incomparable, or their figures less than they seem: a line each."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from lso_bench.record import Record
from lso_bench.searches import group, sort_key

DIFFERENT: dict[str, Callable[[Record], object]] = {
    "budgets": lambda r: (r.spec.max_steps, r.spec.budget),
    "time limits": lambda r: r.spec.seconds,
    "when they stop": lambda r: (r.spec.patience, r.spec.check_every, r.spec.joint),
    "thresholds": lambda r: r.spec.thresholds or None,
    "starts": lambda r: r.spec.starts,
    "search regions": lambda r: r.spec.region,
    "decoding": lambda r: r.spec.decoding,
    "devices": lambda r: r.versions.get("device"),
    "threads": lambda r: r.versions.get("threads"),
    "data": lambda r: r.versions.get("data_sha256"),
    "code versions": lambda r: r.versions.get("lso_bench"),
    "task or searcher files": lambda r: r.spec.source or None,
}


def caveats(records: Sequence[Record]) -> list[str]:
    """Of runs that have members."""
    ordered = sorted(records, key=sort_key)
    lines: list[str] = []
    for task, same in groupby(ordered, key=lambda r: r.spec.task):
        runs, name = list(same), task.partition(":")[0]
        lines += [f"{name}: {line}" for line in (*_differences(runs), *_unpaired(runs), *_odd(runs))]
    return lines


def _differences(runs: list[Record]) -> Iterator[str]:
    for what, value in DIFFERENT.items():
        values = {value(r) for r in runs}
        if what in ("thresholds", "task or searcher files"):
            values.discard(None)  # searchers that do not descend have no thresholds
        if len(values) > 1:
            yield f"the runs differ in {what} ({_some(values)}); compare only rows where it is the same."


def _some(values: set) -> str:
    """Which values there are."""
    named = sorted(", ".join(map(str, v)) if isinstance(v, tuple) else str(v)[:40] for v in values)
    return "; ".join(named[:4]) + (f"; {len(named) - 4} more" if len(named) > 4 else "")


def _unpaired(runs: list[Record]) -> Iterator[str]:
    groups = [list(g) for _, g in groupby(runs, key=group)]
    if len({tuple(sorted((r.spec.model.seed, r.spec.seeds.init) for r in g)) for g in groups}) > 1:
        yield "the models and searchers were not run with the same seeds; their rows are not paired."
    for g in groups:
        model = g[0].spec.model.name
        if len({(r.spec.model.seed, r.spec.checkpoint) for r in g}) > len({r.spec.model.seed for r in g}):
            yield f"runs of {model} with different weights are pooled in one row."


def _odd(runs: list[Record]) -> Iterator[str]:
    odd = {r.spec.model.name for r in runs if _other_pixels(r)}
    for model in sorted(odd):
        yield f"{model} was trained on other pixels than it was run on (other fonts or data)."
    for r in runs:
        if lost := r.counts.get("fallbacks"):
            yield f"{r.spec.title}: {lost} times the searcher fell back on Sobol points."


def _other_pixels(record: Record) -> bool:
    return record.versions.get("trained_on_sha256") not in (None, record.versions.get("data_sha256"))
