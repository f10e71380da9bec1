"""Searches under different names whose final losses are equal to the last bit: chance gives no two such."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lso_bench.analysis.table import drawn, rank
from lso_bench.record import Record
from lso_bench.store.columns import Columns

LEAST = 3  # different finite losses; fewer (all at the optimum, say) may well be the same
MOST = 4  # names in a line, and lines


class _Way(NamedTuple):
    """What decides where the searches of a run from one kind of start end. Limits only decide how far they come."""

    model: tuple[str, int, str]  # name, train seed, checkpoint
    task: str
    searcher: str  # empty where no search left its start
    init: int | None  # the seed that drew the codes; None: none did
    blind: int | None  # search seed of a searcher without gradients, which may not heed where it begins
    first: bytes  # the losses where they began, in the order of the final ones
    images: bytes  # what they found, likewise

    @property
    def named(self) -> tuple:
        return self[:-2]

    def may_equal(self, other: "_Way") -> bool:
        """Whether equal losses are no wonder: the same codes, the same points of a seed, a search done twice, or the
        same images found in the same model from elsewhere (where all end in a corner of the region, say).

        Two searches that differ in the search seed alone may be equal, for not every searcher draws.
        """
        if self[:2] == other[:2] and self.images == other.images and self.first != other.first:
            return any(self.images)
        if self[:3] != other[:3]:
            return False
        return self.init == other.init or (self.blind is not None and self.blind == other.blind)


def twins(runs: Sequence[Record]) -> list[str]:
    """A line for each set of runs that have the same final losses from the same kind of start, in whatever order."""
    found: dict[tuple[str, bytes], list[Record]] = {}
    for r in runs:
        for start, losses in _ends(r):
            if np.count_nonzero(losses[1:] != losses[:-1]) >= LEAST - 1:
                found.setdefault((start, losses.tobytes()), []).append(r)
    told: dict[tuple[str, ...], list[str]] = {}
    for (start, _), same in found.items():
        if len(same) > 1 and (names := _suspects([(_way(r, start), r) for r in same])):
            told.setdefault(names, []).append(start)
    lines = [
        f"{' and '.join(names[:MOST])}{f' and {len(names) - MOST} more' * (len(names) > MOST)} have the same final "
        f"losses to the last bit (start {', '.join(sorted(starts, key=rank))}); one may be a copy."
        for names, starts in sorted(told.items())
    ]
    more = f"{len(lines) - MOST} more sets of runs have the same final losses to the last bit."
    return lines[:MOST] + [more] * (len(lines) > MOST)


def _ends(record: Record) -> Iterator[tuple[str, np.ndarray]]:
    """Of each kind of start the finite final losses, sorted."""
    columns = Columns.from_members(record.members)
    start, loss = (columns.rows[:, columns.names.index(k)] for k in ("start", "loss"))
    for place in {*start.tolist()}:
        losses = loss[(start == place) & np.isfinite(loss)]
        losses.sort()
        yield columns.words[int(place)], losses + 0.0  # -0 is 0


def _way(record: Record, start: str) -> _Way:
    s, columns = record.spec, Columns.from_members(record.members)
    kind, loss, first = (columns.rows[:, columns.names.index(k)] for k in ("start", "loss", "first_loss"))
    there = np.flatnonzero((kind == columns.words.index(start)) & np.isfinite(loss))
    order = there[np.argsort(loss[there], kind="stable")]
    moved = bool((loss[order] != first[order]).any())
    blind = s.seeds.search if moved and record.counts.get("gradients") == 0 else None
    model, init = (s.model.name, s.model.seed, s.checkpoint), s.seeds.init if drawn(start) else None
    searcher = s.searcher if moved else ""
    return _Way(model, s.task, searcher, init, blind, first[order].tobytes(), columns.images[order].tobytes())


def _suspects(same: list[tuple[_Way, Record]]) -> tuple[str, ...]:
    """The names of those that should not be equal, one for each way; fewer than two: none."""
    every = {w for w, _ in same}
    first: dict[tuple, Record] = {}  # of each way its first run
    for way, record in same:
        if any(not way.may_equal(other) for other in every):
            first.setdefault(way.named, record)
    for whole in (False, True):
        names = {_name(r, whole) for r in first.values()}
        if len(names) == len(first):
            break
    return tuple(sorted(names))


def _name(record: Record, whole: bool) -> str:
    """`vae · glyphs50 · adam:lr=0.1 · seed 0`; `whole`: with all that may tell it from another."""
    s = record.spec
    trained = f" (trained with seed {s.model.seed}" + f", weights {s.checkpoint[:8]}" * whole + ")"
    model = s.model.name + trained * (whole or s.model.seed != 0)
    seed = f"seed {s.seeds.init}" + f", search seed {s.seeds.search}" * whole
    return f"{model} · {s.task if whole else s.task.partition(':')[0]} · {s.searcher} · {seed}"
