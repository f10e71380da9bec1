"""Matrix of the searches of a run, so that the searches of many runs are read and joined at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Shaped

from lso_bench.record import SearchResult

NUMBERS = tuple(f.name for f in fields(SearchResult) if f.type in (int, float))
WHOLE = tuple(f.name for f in fields(SearchResult) if f.type is int)
# Stored as indices into `Columns.words`.
WORDS = tuple(f.name for f in fields(SearchResult) if f.type is str and f.name != "image")
SPECIAL = ("met", "image", "beside")  # each stored in a format of its own
if unlisted := {f.name for f in fields(SearchResult)} - {*NUMBERS, *WORDS, *SPECIAL}:
    raise TypeError(f"Member's {', '.join(unlisted)}: wanted a number or a text, which a matrix can hold.")


@dataclass(frozen=True, eq=False)
class Columns(Sequence[SearchResult]):
    """Sequence of members that stores them as one matrix."""

    names: tuple[str, ...]  # columns: NUMBERS, WORDS, "met 0", "met 1", ..., "beside:density", ...
    words: tuple[str, ...]
    rows: Float[np.ndarray, "n c"]  # inf: threshold not met; NaN: not recorded
    images: Shaped[np.ndarray, " n"]  # as bytes

    @classmethod
    def from_members(cls, members: Sequence[SearchResult]) -> "Columns":
        """Build the matrix of a sequence of members."""
        if isinstance(members, Columns):
            return members
        beside = [*dict.fromkeys(name for m in members for name in m.beside)]
        met = [f"met {i}" for i in range(len(members[0].met))] if members else []
        words = tuple(dict.fromkeys(getattr(m, k) for m in members for k in WORDS))
        code = {w: i for i, w in enumerate(words)}
        rows = [
            [
                *(getattr(m, k) for k in NUMBERS),
                *(code[getattr(m, k)] for k in WORDS),
                *(math.inf if step is None else step for step in m.met),
                *(m.beside.get(name, math.nan) for name in beside),
            ]
            for m in members
        ]
        names = (*NUMBERS, *WORDS, *met, *(f"beside:{name}" for name in beside))
        images = np.array([m.image.encode() for m in members], dtype="S16")
        return cls(names, words, np.array(rows, dtype=float).reshape(-1, len(names)), images)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> SearchResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[SearchResult]: ...
    def __getitem__(self, index: int | slice) -> SearchResult | list[SearchResult]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = dict(zip(self.names, self.rows[index].tolist(), strict=True))
        numbers: dict[str, Any] = {k: int(row[k]) if k in WHOLE else row[k] for k in NUMBERS}
        met = [None if math.isinf(v) else int(v) for k, v in row.items() if k.startswith("met ")]
        beside = {k.removeprefix("beside:"): v for k, v in row.items() if k.startswith("beside:") and not math.isnan(v)}
        words: dict[str, Any] = {k: self.words[int(row[k])] for k in WORDS}
        return SearchResult(**numbers, **words, met=met, beside=beside, image=bytes(self.images[index]).decode())
