"""Records made by hand, whose measures are known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import torch

from lso_bench.analysis.comparison import Comparison, compare
from lso_bench.record import Record, SearchResult
from lso_bench.spec import Seeds, Spec
from lso_bench.vae.trained_model import Model

SPEC = Spec(Model("vae", "omniglot"), "0" * 64, "omniglot50", "adam", max_steps=300, thresholds=(0.5, 0.0))
VERSIONS = {"device": "cpu"}


@dataclass(frozen=True)
class Disk:
    """Files of a run, from the record itself."""

    record: Record

    def trace(self, spec: Spec) -> pd.DataFrame:
        assert self.record.trace is not None
        return self.record.trace

    def costs(self, spec: Spec) -> pd.DataFrame:
        assert self.record.costs is not None
        return self.record.costs

    def tensors(self, spec: Spec) -> dict[str, torch.Tensor]:
        return self.record.tensors


def measures(*records: Record, **how) -> Comparison:
    by_key = {r.spec.key: r for r in records}
    return compare(records, lambda s: Disk(by_key[s.key]), **how)


def one(comparison: Comparison, measure: str, start: str | None = None, **where) -> pd.Series:
    """The one row of that measure; threshold and target are none unless said."""
    rows = comparison.measures[comparison.measures.measure == measure]
    for column, value in ({"threshold": None, "target": None} | where).items():
        rows = rows[rows[column].isna()] if value is None else rows[rows[column] == value]
    rows = rows if start is None else rows[rows.start == start]
    assert len(rows) == 1
    return rows.iloc[0]


def searched(
    paths: Mapping[str, Sequence[Sequence[float]]],
    codes: Callable[[str, int], Sequence[float]] = lambda start, i: (0.0, 0.0),
    init: int = 0,
    search: int | None = None,
    cost: int = 1,
    **spec,
) -> Record:
    """A run in which each start's instances took these ways down, a loss a step, each step `cost` evaluations."""
    settings = replace(SPEC, starts=tuple(paths), seeds=Seeds(init, init if search is None else search), **spec)
    members, rows = [], []
    for start, ways in paths.items():
        for i, way in enumerate(ways):
            steps, n = len(way) - 1, cost * len(way)
            met: list[int | None] = [None] * len(settings.thresholds)
            members.append(SearchResult(start, i, way[0], way[-1], steps, met, 1.0, min(way), n, "steps"))
            rows += [{"step": s, "start": start, "instance": i, "loss": x} for s, x in enumerate(way)]
    at = range(max(r["step"] for r in rows) + 1)
    z = torch.tensor([[*codes(m.start, m.instance)] for m in members])
    return Record(
        settings,
        "ok",
        members,
        versions=VERSIONS,
        trace=pd.DataFrame(rows),
        costs=pd.DataFrame({"step": at, "evaluations": [cost * (s + 1) for s in at], "seconds": [0.5 * s for s in at]}),
        tensors={"z": z, "z_met": torch.full((len(members), len(settings.thresholds), z.shape[1]), torch.nan)},
    )
