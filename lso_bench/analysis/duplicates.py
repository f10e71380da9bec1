"""Runs under different names whose final losses are equal to the last bit, which chance does not produce."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lso_bench.analysis.table import is_random, start_order
from lso_bench.record import Record
from lso_bench.store.columns import Columns

MIN_DISTINCT = 3  # distinct finite losses; fewer may be equal by chance (all at the optimum, say)
MAX_LISTED = 4  # names in a line, and lines


class _SearchSetup(NamedTuple):
    """The setup that decides where the searches of a run end, from one kind of start.

    Limits are left out: they only decide how far the searches get.
    """

    model: tuple[str, int, str]  # name, train seed, checkpoint; empty for searches of samples, which do without
    task: str
    searcher: str  # empty where no search left its start
    init: int | None  # seed that drew the latents; None: they are not random
    gradient_free_seed: int | None  # search seed of a searcher without gradients, which may ignore the start
    first: bytes  # losses at the starts, in the order of the final losses
    images: bytes  # final images, in the same order

    @property
    def identity(self) -> tuple:
        return self[:-2]

    def may_equal(self, second: "_SearchSetup") -> bool:
        """Return whether equal final losses are expected.

        They are for the same latents, the same points of a seed, or a repeated search. They are also expected where
        searches from different starts end with the same images in the same model, for example in a corner of the
        region. Setups that differ in the search seed alone may be equal, because not every searcher is random.
        """
        if self[:2] == second[:2] and self.images == second.images and self.first != second.first:
            return any(self.images)
        if self[:3] != second[:3]:
            return False
        return self.init == second.init or (
            self.gradient_free_seed is not None and self.gradient_free_seed == second.gradient_free_seed
        )


def duplicate_warnings(runs: Sequence[Record]) -> list[str]:
    """Return a line for each set of runs with the same final losses, in any order, from the same kind of start."""
    runs_by_losses: dict[tuple[str, bytes], list[Record]] = {}
    for r in runs:
        for start, losses in _final_losses(r):
            if np.count_nonzero(losses[1:] != losses[:-1]) >= MIN_DISTINCT - 1:
                runs_by_losses.setdefault((start, losses.tobytes()), []).append(r)
    starts_by_names: dict[tuple[str, ...], list[str]] = {}
    for (start, _), matching in runs_by_losses.items():
        if len(matching) > 1 and (names := _suspects([(_search_setup(r, start), r) for r in matching])):
            starts_by_names.setdefault(names, []).append(start)
    lines = [
        f"{' and '.join(names[:MAX_LISTED])}{f' and {len(names) - MAX_LISTED} more' * (len(names) > MAX_LISTED)} "
        f"have the same final losses to the last bit (start {', '.join(sorted(starts, key=start_order))}); "
        "one may be a copy."
        for names, starts in sorted(starts_by_names.items())
    ]
    summary = f"{len(lines) - MAX_LISTED} more sets of runs have the same final losses to the last bit."
    return lines[:MAX_LISTED] + [summary] * (len(lines) > MAX_LISTED)


def _final_losses(record: Record) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each kind of start with its finite final losses, sorted."""
    columns = Columns.from_members(record.members)
    start, loss = (columns.rows[:, columns.names.index(k)] for k in ("start", "loss"))
    for start_index in {*start.tolist()}:
        losses = loss[(start == start_index) & np.isfinite(loss)]
        losses.sort()
        yield columns.words[int(start_index)], losses + 0.0  # -0 is 0


def _search_setup(record: Record, start: str) -> _SearchSetup:
    s, columns = record.spec, Columns.from_members(record.members)
    kind, loss, first_loss = (columns.rows[:, columns.names.index(k)] for k in ("start", "loss", "first_loss"))
    indices = np.flatnonzero((kind == columns.words.index(start)) & np.isfinite(loss))
    order = indices[np.argsort(loss[indices], kind="stable")]
    moved = bool((loss[order] != first_loss[order]).any())
    gradient_free_seed = (
        s.seeds.search if moved and "gradients" in record.counts and not record.follows_gradient else None
    )
    of_samples = bool(np.isnan(columns.rows[order, columns.names.index("distance_to_prior")]).all())
    model = ("", 0, "") if of_samples else (s.model.name, s.model.seed, s.checkpoint)
    init = s.seeds.init if is_random(start) else None
    searcher = s.searcher if moved else ""
    return _SearchSetup(
        model, s.task, searcher, init, gradient_free_seed, first_loss[order].tobytes(), columns.images[order].tobytes()
    )


def _suspects(matching: list[tuple[_SearchSetup, Record]]) -> tuple[str, ...]:
    """Return the names of runs that should not be equal, one per setup; empty if fewer than two."""
    setups = {setup for setup, _ in matching}
    first_runs: dict[tuple, Record] = {}  # first run of each setup
    for setup, record in matching:
        if any(not setup.may_equal(second) for second in setups):
            first_runs.setdefault(setup.identity, record)
    for full in (False, True):
        names = {_describe(r, full) for r in first_runs.values()}
        if len(names) == len(first_runs):
            break
    return tuple(sorted(names))


def _describe(record: Record, full: bool) -> str:
    """Name a run: `vae · glyphs50 · adam:lr=0.1 · seed 0`; with `full`, everything that may distinguish it."""
    s = record.spec
    trained = f" (trained with seed {s.model.seed}" + f", weights {s.checkpoint[:8]}" * full + ")"
    model = s.model.name + trained * (full or s.model.seed != 0)
    seed = f"seed {s.seeds.init}" + f", search seed {s.seeds.search}" * full
    return f"{model} · {s.task if full else s.task.partition(':')[0]} · {s.searcher} · {seed}"
