"""What a page says of a set of runs as a whole: what is missing or failed, on what it ran, how it is run again."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

from lso_bench.analysis.table import group, sort_key
from lso_bench.models.measurements import Measured
from lso_bench.plotting.numbers import fixed
from lso_bench.record import Record
from lso_bench.report.html_cells import Cell, Table, model, number, word
from lso_bench.report.measurements import ROWS, active_units
from lso_bench.spec import SCHEMA, digest
from lso_bench.study.command import commands, sped_up, unrepeatable

LIMIT = 0.01  # of activity; Burda et al. 2016


def lost(records: Sequence[Record]) -> list[str]:
    """Runs that failed, and why."""
    found = [r for r in records if r.status != "ok"]
    return [f"{r.spec.title}: {r.status}{f', {r.error}' if r.error else ''}" for r in sorted(found, key=sort_key)]


def missing(records: Sequence[Record]) -> list[str]:
    """What some models have and others lack, of the same searcher with the same limits: starts and seeds."""
    lines = []
    for _, same in groupby(sorted(records, key=_without_model), key=_without_model):
        runs = [*same]
        every = {part for r in runs for part in _parts(r)}
        for name in dict.fromkeys(r.spec.model.name for r in runs):
            there = {part for r in runs if r.spec.model.name == name for part in _parts(r)}
            of = f"{name} · {runs[0].spec.task.partition(':')[0]} · {runs[0].spec.searcher}"
            lines += [f"{of}: {part}" for part in sorted(every - there)]
    return lines


def environment(records: Sequence[Record]) -> Table:
    """On what the runs were made, as each recorded it."""
    known = ("lso_bench", "torch", "device", "threads", "omp_wait_policy", "compiled", "data_sha256")
    each = [tuple(str(r.versions.get(k, ""))[:24] for k in known) for r in records]
    counts = {e: each.count(e) for e in sorted({*each})}
    rows = [[*map(word, e), number(n, "{:,.0f}".format)] for e, n in counts.items()]
    return Table("", tuple(k.replace("_", " ") for k in known), ("runs",), rows)


def again(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    """For each group of runs that are pooled in a row: what it is, the command, and what else it takes."""
    for _, same in groupby(sorted(records, key=sort_key), key=group):
        runs = [*same]
        for command, specs in commands([r.spec for r in runs]):
            of = specs[0]
            made = {s.key for s in specs}
            weights = f"weights {of.checkpoint[:12]}"
            source = f"task or searcher file {of.source[:12]}" if of.source else ""
            needs = ", ".join(filter(None, (weights, source, unrepeatable(of))))
            keys = " ".join(digest(SCHEMA, asdict(s)) for s in specs)
            yield (
                f"{of.title.rpartition(' · ')[0]} · {len(specs)} run{'s' * (len(specs) > 1)}",
                command + sped_up(r for r in runs if r.spec.key in made),
                f"{needs}; makes {keys}",
            )


def spaces(measured: Sequence[Measured]) -> Table:
    """Latent spaces, measured; a row a model."""
    rows = []
    shown = {label: key for label, key in ROWS.items() if any(getattr(m.metrics, key) is not None for m in measured)}
    for m in measured:
        what = [model(m.model.name), word(m.model.data), word(m.model.arch)]
        plain = [m.model.latent, m.metrics.n, active_units(m, LIMIT)]
        each = [
            Cell(fixed(v, 3), v) if (v := getattr(m.metrics, k)) is not None else number(None) for k in shown.values()
        ]
        rows.append([*what, *(number(v, "{:,.0f}".format) for v in plain), *each])
    caption = "Means over the test images, in nats where nothing else is said. Active: dimensions above 0.01."
    return Table("", ("model", "data", "architecture"), ("d", "images", "active", *shown), rows, caption)


def _without_model(record: Record) -> str:
    """What else is pooled; the seeds' part is compared."""
    return repr({k: str(v) for k, v in group(record).items() if k != "model"})


def _parts(record: Record) -> Iterator[str]:
    s = record.spec
    seeds = f"seed {s.seeds.init}" + f", search seed {s.seeds.search}" * (s.seeds.search != s.seeds.init)
    trained = f", training seed {s.model.seed}" * bool(s.model.seed)
    yield from (f"{seeds}{trained}, from {start}" for start in s.starts)
