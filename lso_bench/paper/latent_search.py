"""The paper's latent search (section 5.4) again: ours beside the paper's."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.bootstrap import order_statistics
from lso_bench.analysis.comparison import compare
from lso_bench.analysis.table import Files, table
from lso_bench.errors import UnusableError, UsageError
from lso_bench.paper.published import SECTION_5_4
from lso_bench.paper.tables import SEARCHED
from lso_bench.plugins.registry import build
from lso_bench.record import Record
from lso_bench.spec import Spec
from lso_bench.store.store import Store
from lso_bench.study.command import sped_up
from lso_bench.study.grid import STEPS, Grid, PlannedRun, Protocol, plan
from lso_bench.vae.zoo import Model

FIRST, LAST = 0.05, 0.0  # thresholds between which the paper watches the distance of the codes


@dataclass(frozen=True)
class Repeated:
    """The runs of section 5.4, beside the paper's counts."""

    title: str
    name: str  # of its files
    rows: pd.DataFrame  # a row a model: see `_row`
    order: list[str]  # of the models by steps to threshold 0, pair by pair: a line each
    notes: list[str]
    command: str  # that makes the runs
    weights: dict[str, str]  # by model: sha256 of the checkpoint
    versions: list[dict[str, Any]]  # of each run


def check(data: str, searcher: str) -> None:
    """Refuse what could only fail after hours of training.

    Raises:
        UsageError: no such task or searcher, or one that does not descend: its steps are no count of the paper's.
    """
    build("task", f"{data}50")
    if not build("searcher", searcher).descends:
        raise UsageError(f"Section 5.4 counts the steps of a descent; wanted adam or its like, got {searcher!r}.")


def planned(models: Iterable[Model], seeds: Sequence[int], searcher: str = "adam") -> list[PlannedRun]:
    """Down to threshold 0 from a random start and the encoder's, and for further `seeds` from other random starts.

    Raises:
        UsageError: no such searcher.
        UnusableError: a model that is not trained.
    """
    runs = []
    for m in models:
        for starts, of in ((None, seeds[:1]), (("random",), seeds[1:])):
            if not of:
                continue  # one seed: there are no further starts
            grid = Grid([m.name], [f"{m.data}50"], [searcher], of, arch=m.arch, latent=m.latent)
            runs += plan(grid, Protocol(starts=starts, max_steps=STEPS["paper"], joint=True))
    return runs


def repeated(runs: Sequence[PlannedRun], store: Store) -> Repeated:
    """What the runs in the store say.

    Raises:
        UnusableError: none is there.
    """
    keys = {p.spec.key for p in runs}
    records = [r for r in store if r.spec.key in keys and r.members]
    if not records:
        raise UnusableError("None of the searches of section 5.4 was run; leave --no-train out to train and run them.")
    first = records[0].spec
    title = f"Section 5.4, steps to threshold 0: {first.task}, architecture {first.model.arch}, {first.searcher}"
    names = [n for n in SEARCHED if n in {r.spec.model.name for r in records}]
    rows = pd.DataFrame([_row(n, [r for r in records if r.spec.model.name == n], lambda _: store) for n in names])
    name = "-".join([first.model.data, first.model.arch, *first.searcher.split(",")[0].split(":")])
    return Repeated(
        title,
        "".join(c if c.isalnum() or c in ".-=" else "+" for c in name),
        rows,
        [*_order(records)],
        [*_notes(records, keys)],
        _command(runs, records),
        {n: next(r.spec.checkpoint for r in records if r.spec.model.name == n) for n in names},
        [r.versions for r in records],
    )


def _row(name: str, records: Sequence[Record], files: Callable[[Spec], Files]) -> dict[str, object]:
    """A model's figures: steps to threshold 0 of the mean over the images ("together"; the least and the most of the
    runs are its low and high) and of single images, squared distance of the codes from two random starts (with one
    seed: from the random one and the encoder's), |z|.
    """
    found = compare(records, files).measures
    pair = "random - random" if (found.start == "random - random").any() else "random - encoder"

    def of(measure: str, start: str, threshold: float | None = None) -> pd.Series:
        at = found.threshold.isna() if threshold is None else found.threshold == threshold
        rows = found[(found.measure == measure) & (found.start == start) & at]
        return rows.iloc[0] if len(rows) else pd.Series(dict.fromkeys(found.columns, math.nan))

    together = _joint(records, "random")
    single, basin = of("iterations", "random", LAST), of("basin", pair)
    return {
        "model": name,
        "paper": SECTION_5_4.get(name),
        "random": of("joint", "random", LAST)["median"],
        "random low": together.min(),
        "random high": together.max(),
        "runs": of("joint", "random", LAST)["n"],
        "encoder": of("joint", "encoder", LAST)["median"],
        **{f"single {k}": single[k] for k in ("median", "low", "high", "n", "censored")},
        "pair": pair,
        f"distance {FIRST:g}": of("distance", pair, FIRST)["median"],
        f"distance {LAST:g}": of("distance", pair, LAST)["median"],
        "distance end mean": of("distance", pair)["mean"],
        **{f"basin {k}": basin[k] for k in ("estimate", "low", "high")},
        "norm": of("norm", "random")["median"],
    }


def _order(records: Sequence[Record]) -> Iterator[str]:
    """Each pair of models whose order the paper gives: how many steps more the one takes, first single images, then
    all together.
    """
    names = {r.spec.model.name for r in records}
    pairs = [*combinations(sorted(SECTION_5_4.keys() & names, key=lambda n: -SECTION_5_4[n]), 2)]
    searches = table(records)
    steps = searches[searches.start == "random"].set_index(["model", "instance", "init"])[f"met {LAST:g}"]
    for a, b in pairs:
        yield f"{_pair(a, b)}: {_single(cast(pd.Series, steps[a] - steps[b]).dropna())}"
    for start, where in (("random", "random starts"), ("encoder", "from the encoder")):
        of = {n: _joint([r for r in records if r.spec.model.name == n], start) for n in names}
        for a, b in pairs:
            if len(more := (of[a] - of[b]).dropna()):
                yield f"{_pair(a, b)}: {_together(more, where)}"


def _pair(a: str, b: str) -> str:
    return f"{a} (paper {SECTION_5_4[a]:,}) > {b} ({SECTION_5_4[b]:,})"


def _single(more: pd.Series) -> str:
    """The median difference on the same image from the same random start, with its interval over images."""
    found = order_statistics(more.to_numpy(float), more.index.get_level_values("instance").to_numpy())
    return (
        f"{_told(found['low'], found['high'])}; single images, random starts: median difference "
        f"{found['median']:+,.0f} steps (95 % interval {found['low']:,.0f} .. {found['high']:,.0f}, n = {found['n']})"
    )


def _together(more: pd.Series, where: str) -> str:
    """The median difference of the joint stop from the same starts. The range over so few seeds is no interval."""
    low, high = more.min(), more.max()
    spread = f"range over seeds {low:,.0f} .. {high:,.0f}, n = {len(more)}" if len(more) > 1 else "one run"
    return f"{_told(low, high)}; together, {where}: median difference {more.median():+,.0f} steps ({spread})"


def _told(low: float, high: float) -> str:
    return "as in the paper" if low > 0 else "THE OTHER WAY ROUND" if high < 0 else "undecided"


def _joint(records: Iterable[Record], start: str) -> pd.Series:
    """Steps until the mean loss over that start's images met the last threshold, by seed; not met: infinite."""
    met = {r.spec.seeds.init: r.joint[start][r.spec.thresholds.index(LAST)] for r in records if start in r.joint}
    return pd.Series({seed: math.inf if at is None else at for seed, at in met.items()}, dtype=float)


def _notes(records: Sequence[Record], keys: set[str]) -> Iterator[str]:
    yield "the paper gives neither its learning rate nor whether the images stop together; steps depend on both"
    yield "one training seed: the intervals are over images, and say nothing about another training"
    if missing := len(keys - {r.spec.key for r in records}):
        yield f"{missing} of {len(keys)} runs are missing or failed"
    if len({r.versions.get("device") for r in records}) > 1:
        yield "not all runs are of the same device"
    if len({bool(r.versions.get("compiled")) for r in records}) > 1:
        yield "not all runs were compiled; the command compiles all"


def _command(runs: Sequence[PlannedRun], records: Sequence[Record]) -> str:
    models = ",".join(dict.fromkeys(p.spec.model.name for p in runs))
    seeds = ",".join(dict.fromkeys(str(p.spec.seeds.init) for p in runs))
    of = runs[0].spec
    rest = f"--data {of.model.data} --arch {of.model.arch} --searcher {of.searcher} --seed {seeds}"
    return f"lso-bench reproduce search --models {models} {rest}" + sped_up(records)
