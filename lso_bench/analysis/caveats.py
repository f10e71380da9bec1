"""What makes runs incomparable, or their figures less than they seem: a line each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, product

import numpy as np

from lso_bench.analysis.duplicates import twins
from lso_bench.analysis.table import group, sort_key
from lso_bench.record import Record
from lso_bench.store.columns import Columns
from lso_bench.vae.notation import name_of

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
    "versions of torch": lambda r: r.versions.get("torch"),
}
SOME = ("thresholds",)  # that not all runs have
MOVED = 0.25  # share of starts; of draws from the prior 8 % lie outside a box of 3 in 32 dimensions
MOST = 4  # things named in a line


def caveats(records: Sequence[Record]) -> list[str]:
    """Of all runs, also those that failed."""
    ordered = sorted(records, key=sort_key)
    lines = [line for r in ordered for line in _lost(r)]
    for task, same in groupby(ordered, key=lambda r: r.spec.task):
        name, runs = name_of(task), [r for r in same if r.members]
        found = (
            *_differences(runs),
            *_files(runs),
            *_versions(runs, "task"),
            *_unpaired(runs),
            *_missing(runs),
            *_odd(runs),
        )
        lines += [f"{name}: {line}" for line in found]
    by_searcher = sorted((r for r in ordered if r.members), key=_searcher)
    for name, same in groupby(by_searcher, key=_searcher):
        lines += [f"{name}: {line}" for line in _versions([*same], "searcher")]
    return lines + twins(ordered)


def _searcher(record: Record) -> str:
    return name_of(record.spec.searcher)


def _lost(record: Record) -> Iterator[str]:
    if not record.members:
        yield f"{record.spec.title}: {record.status}, left out, and last where ranks are compared ({record.error})."
    elif record.status != "ok":
        lost = int(np.isnan(_losses(record)).sum())
        yield f"{record.spec.title}: {record.status}; {lost} of {len(record.members)} searches have no finite loss."


def _differences(runs: list[Record]) -> Iterator[str]:
    for what, value in DIFFERENT.items():
        values = {value(r) for r in runs}
        if what in SOME:
            values.discard(None)
        if len(values) > 1:
            yield f"the runs differ in {what} ({_some(values)}); compare only rows where it is the same."


def _files(runs: list[Record]) -> Iterator[str]:
    """Of one task, the searchers under whose name several versions of a file ran; two searchers have two files."""
    for name, same in groupby(sorted(runs, key=_searcher), key=_searcher):
        values = {r.spec.source for r in same} - {"", None}
        if len(values) > 1:
            yield f"the runs of {name} differ in task or searcher files ({_some(values)}); compare only those of one."


def _versions(runs: list[Record], kind: str) -> Iterator[str]:
    """Of what made these runs, where they say it."""
    known = (f"{kind}_sha256", f"{kind}_package")
    values = {tuple(str(r.versions[k]) for k in known if k in r.versions) for r in runs} - {()}
    if len(values) > 1:
        yield (
            f"the runs were made by several versions of the {kind}'s code ({_some(values)}); compare only those of "
            f"one (--by {known[0]})."
        )


def _some(values: set) -> str:
    """Which values there are."""
    named = sorted(", ".join(map(str, v)) if isinstance(v, tuple) else str(v)[:40] for v in values)
    return "; ".join(named[:MOST]) + (f"; {len(named) - MOST} more" if len(named) > MOST else "")


def _few(things: Iterable) -> str:
    """Each once, the first of them."""
    named = [str(t) for t in dict.fromkeys(things)]
    return ", ".join(named[:MOST]) + f", {len(named) - MOST} more" * (len(named) > MOST)


def _unpaired(runs: list[Record]) -> Iterator[str]:
    """Groups that do not share their seeds or instances, or pool what is not the same model."""
    groups = [list(g) for _, g in groupby(runs, key=group)]
    if len({tuple(sorted(_seeds(r) for r in g)) for g in groups}) > 1:
        yield "the models and searchers were not run with the same seeds; their rows are not paired."
    if len({frozenset(i for r in g for i in _instances(r)) for g in groups}) > 1:
        yield "the models and searchers were not run on the same instances; their rows are not paired."
    for g in groups:
        model = g[0].spec.model.name
        if len({(r.spec.model.seed, r.spec.checkpoint) for r in g}) > len({r.spec.model.seed for r in g}):
            yield f"runs of {model} with different weights are pooled in one row."


def _seeds(record: Record) -> tuple[int, int]:
    return record.spec.model.seed, record.spec.seeds.init


def _missing(runs: list[Record]) -> Iterator[str]:
    """Models that were not run with a searcher (its region, architecture and decoding) and seeds that others were."""
    there = {(_way(r), r.spec.model.name, _seeds(r)) for r in runs}
    grids = {}
    for space in {way[2:] for way, _, _ in there}:
        ways = {way for way, _, _ in there if way[2:] == space}
        models = {m for way, m, _ in there if way in ways}
        for way in ways:
            grids[way] = [*product(sorted(models), sorted({s for w, _, s in there if w == way}))]
    trainings = {train for _, _, (train, _) in there}

    def told(seeds: tuple[int, int]) -> str:
        return f"{seeds[1]} of training {seeds[0]}" if len(trainings) > 1 else str(seeds[1])

    absent = {way: [(m, s) for m, s in grids[way] if (way, m, s) not in there] for way in sorted(grids)}
    named = [
        f"{len(lost)} of {way[0]} ({_few(m for m, _ in lost)}; seed {_few(told(seeds) for _, seeds in lost)})"
        for way, lost in absent.items()
        if lost
    ]
    if named:
        of = f"{sum(map(len, absent.values()))} of {sum(map(len, grids.values()))} runs of the grid are missing"
        more = f"; {len(named) - MOST} more searchers" if len(named) > MOST else ""
        yield f"{of}: {'; '.join(named[:MOST])}{more}."


def _way(record: Record) -> tuple[str, ...]:
    """Searcher and region, then the space that it searches."""
    s = record.spec
    return s.searcher, s.region, s.model.arch, str(s.model.latent), s.decoding


def _odd(runs: list[Record]) -> Iterator[str]:
    odd = {r.spec.model.name for r in runs if _other_pixels(r)}
    for model in sorted(odd):
        yield f"{model} was trained on other pixels than it was run on (other fonts or data)."
    for r in runs:
        if still := stood_still(r):
            yield f"{r.spec.title}: {still}; the score is flat there, or nothing better lies near."
        if lost := r.counts.get("fallbacks"):
            yield f"{r.spec.title}: {lost} times the searcher fell back on Sobol points."
        if (moved := r.counts.get("moved_starts", 0)) > MOVED * len(r.members):
            of = f"{moved} of {len(r.members)} starts lay outside {r.spec.region}"
            yield f"{r.spec.title}: {of} and were moved to its edge; they are not the {', '.join(r.spec.starts)} codes."


def stood_still(record: Record) -> str:
    """Return how many searches ended with the loss of their starts, as a phrase; empty where that says nothing.

    A search by gradients should leave any start. One without them may find nothing better, unless none of the run does.
    """
    columns = Columns.from_members(record.members)
    first, loss, best, steps = (
        columns.rows[:, columns.names.index(k)] for k in ("first_loss", "loss", "best", "steps")
    )
    still = int(((loss == first) & (best == first) & (steps > 0)).sum())
    if not still or (still < len(record.members) and not record.counts.get("gradients")):
        return ""
    return f"{still} of {len(record.members)} searches never changed the score of their starts"


def _other_pixels(record: Record) -> bool:
    return record.versions.get("trained_on_sha256") not in (None, record.versions.get("data_sha256"))


def _losses(record: Record) -> np.ndarray:
    columns = Columns.from_members(record.members)
    return columns.rows[:, columns.names.index("loss")]


def _instances(record: Record) -> list[float]:
    columns = Columns.from_members(record.members)
    return columns.rows[:, columns.names.index("instance")].tolist()
