"""The searches of a run as one matrix, so that those of many runs are read and joined at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Shaped

from lso_bench.record import Member

NUMBERS = tuple(f.name for f in fields(Member) if f.type in (int, float))
WHOLE = tuple(f.name for f in fields(Member) if f.type is int)
WORDS = tuple(f.name for f in fields(Member) if f.type is str and f.name != "image")  # as places in `Columns.words`
OTHERS = ("met", "image", "beside")  # each kept in its way
if odd := {f.name for f in fields(Member)} - {*NUMBERS, *WORDS, *OTHERS}:
    raise TypeError(f"Member's {', '.join(odd)}: wanted a number or a text, which a matrix can hold.")


@dataclass(frozen=True, eq=False)
class Columns(Sequence[Member]):
    """The same as a list of members, which it can be made from and gives back."""

    names: tuple[str, ...]  # of the columns: NUMBERS, WORDS, "met 0" and so on, "beside:density" and so on
    words: tuple[str, ...]
    rows: Float[np.ndarray, "n c"]  # a threshold that was not met is infinite, what was not noted NaN
    images: Shaped[np.ndarray, " n"]  # as bytes

    @classmethod
    def from_members(cls, members: Sequence[Member]) -> "Columns":
        if isinstance(members, Columns):
            return members
        beside = [*dict.fromkeys(name for m in members for name in m.beside)]
        met = [f"met {i}" for i in range(len(members[0].met))] if members else []
        words = tuple(dict.fromkeys(getattr(m, k) for m in members for k in WORDS))
        place = {w: i for i, w in enumerate(words)}
        rows = [
            [
                *(getattr(m, k) for k in NUMBERS),
                *(place[getattr(m, k)] for k in WORDS),
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
    def __getitem__(self, place: int) -> Member: ...
    @overload
    def __getitem__(self, place: slice) -> list[Member]: ...
    def __getitem__(self, place: int | slice) -> Member | list[Member]:
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]
        row = dict(zip(self.names, self.rows[place].tolist(), strict=True))
        numbers: dict[str, Any] = {k: int(row[k]) if k in WHOLE else row[k] for k in NUMBERS}
        met = [None if math.isinf(v) else int(v) for k, v in row.items() if k.startswith("met ")]
        beside = {k.removeprefix("beside:"): v for k, v in row.items() if k.startswith("beside:") and not math.isnan(v)}
        words: dict[str, Any] = {k: self.words[int(row[k])] for k in WORDS}
        return Member(**numbers, **words, met=met, beside=beside, image=bytes(self.images[place]).decode())
