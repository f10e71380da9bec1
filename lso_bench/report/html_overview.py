"""Overview of runs for the HTML page: failed, diverged and missing runs, environment, commands to repeat them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby

from lso_bench.analysis.table import group, sort_key
from lso_bench.errors import LsoBenchError
from lso_bench.models.measurements import Measured
from lso_bench.plotting.numbers import count
from lso_bench.record import Record
from lso_bench.report.cells import model, number, word
from lso_bench.report.findings import counted, failed_and_diverged
from lso_bench.report.measurements import active_units, labelled, mean
from lso_bench.report.table import MODEL, Column, Table, columns
from lso_bench.spec import SCHEMA, digest
from lso_bench.study.command import commands, objects_of, sped_up, unrepeatable
from lso_bench.vae.code_use import retrieval_chance
from lso_bench.vae.datasets import DATASETS, ImageSource, Source
from lso_bench.vae.metrics import BLOCK

LIMIT = 0.01  # of activity; Burda et al. 2016


def lost(records: Sequence[Record]) -> list[str]:
    """Return a line for each run that failed or diverged, with the reason."""
    not_ok = [r for r in records if r.status != "ok"]
    return [f"{r.spec.title}: {r.status}{f', {r.error}' if r.error else ''}" for r in sorted(not_ok, key=sort_key)]


def lost_counts(records: Sequence[Record], unreadable: int) -> str:
    """Return how many runs failed and diverged, and how many files are unreadable; empty if none."""
    failed, diverged = failed_and_diverged(records)
    texts = (f"{counted(failed, 'run')} failed", f"{counted(diverged, 'run')} diverged", f"{unreadable} unreadable")
    return ", ".join(text for text, n in zip(texts, (failed, diverged, unreadable), strict=True) if n)


def missing(records: Sequence[Record]) -> list[str]:
    """Return the starts and seeds that a model lacks and others have, with equal searcher and limits."""
    lines = []
    for _, comparable in groupby(sorted(records, key=_key_without_model), key=_key_without_model):
        runs = [*comparable]
        all_parts = {part for r in runs for part in _start_descriptions(r)}
        for name in dict.fromkeys(r.spec.model.name for r in runs):
            present = {part for r in runs if r.spec.model.name == name for part in _start_descriptions(r)}
            label = f"{name} · {runs[0].spec.task.partition(':')[0]} · {runs[0].spec.searcher}"
            lines += [f"{label}: {part}" for part in sorted(all_parts - present)]
    return lines


def environment(records: Sequence[Record]) -> Table:
    """Return a table of the environments that the runs recorded."""
    known = ("lso_bench", "torch", "device", "threads", "omp_wait_policy", "compiled", "data_sha256")
    versions = [tuple(str(r.versions.get(k, ""))[:24] for k in known) for r in records]
    counts = {e: versions.count(e) for e in sorted({*versions})}
    rows = [[*map(word, e), number(n, count)] for e, n in counts.items()]
    words = [Column(k.replace("_", " "), is_text=True) for k in known]
    return Table("", columns(*words, "runs"), rows)


def again(records: Sequence[Record]) -> Iterator[tuple[str, str, str]]:
    """Yield, for each group of runs pooled in a row, its name, the command to repeat it, and what the command needs.

    The command is empty if the task or the searcher is an object of Python.
    """
    for _, group_runs in groupby(sorted(records, key=sort_key), key=group):
        runs = [*group_runs]
        for command, specs in commands([r.spec for r in runs]):
            first = specs[0]
            keys = {s.key for s in specs}
            weights = f"weights {first.checkpoint[:12]}"
            source = f"task or searcher file {first.source[:12]}" if first.source else ""
            needs = ", ".join(filter(None, (unrepeatable(first), weights, source)))
            digests = " ".join(digest(SCHEMA, asdict(s)) for s in specs)
            yield (
                f"{first.title.rpartition(' · ')[0]} · {len(specs)} run{'s' * (len(specs) > 1)}",
                "" if objects_of(first) else command + sped_up(r for r in runs if r.spec.key in keys),
                f"{needs}; makes {digests}",
            )


def spaces(measured: Sequence[Measured]) -> Table:
    """Return a table of measured latent spaces, one row per model."""
    rows = []
    samples, _ = words = _words(measured)
    labels = labelled(measured, words)
    shown = {label: key for label, key in labels.items() if any(getattr(m.metrics, key) is not None for m in measured)}
    for m in measured:
        names = [model(m.model.name), word(m.model.data), word(m.model.arch), word(m.inputs["checkpoint"][:8])]
        counts = [m.model.seed, m.model.latent, m.metrics.n, active_units(m, LIMIT)]
        metrics = (mean(m.metrics, key) for key in shown.values())
        rows.append([*names, *(number(n, count) for n in counts), *metrics])
    caption = (
        f"Means over the test {samples}, in nats where nothing else is said. Active: dimensions above 0.01. Retrieval "
        f"is among {BLOCK} {samples} (chance {retrieval_chance(BLOCK):g}), or all latents where they are fewer."
    )
    texts = (Column(name, is_text=True) for name in ("data", "architecture", "weights"))
    return Table("", columns(MODEL, *texts, "training seed", "d", samples, "active", *shown), rows, caption)


def _words(measured: Sequence[Measured]) -> tuple[str, str]:
    """Return the words for samples and their elements; those for images where they differ or are not known.

    A file that a result names is never executed.
    """
    words = {ImageSource.words if (source := _source(m.model.data)) is None else source.words for m in measured}
    return words.pop() if len(words) == 1 else ImageSource.words


def _source(data: str) -> Source | None:
    """Return a data set that executes no file; None for others, and where a setting does not exist here."""
    with suppress(LsoBenchError):
        return DATASETS.build(data) if DATASETS.runs_no_code(data) else None
    return None


def _key_without_model(record: Record) -> str:
    """Return the values that runs are pooled by, without the model."""
    return repr({k: str(v) for k, v in group(record).items() if k != "model"})


def _start_descriptions(record: Record) -> Iterator[str]:
    s = record.spec
    seeds = f"seed {s.seeds.init}" + f", search seed {s.seeds.search}" * (s.seeds.search != s.seeds.init)
    trained = f", training seed {s.model.seed}" * bool(s.model.seed)
    yield from (f"{seeds}{trained}, from {start}" for start in s.starts)
