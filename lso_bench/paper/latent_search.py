"""Latent search of the paper's section 5.4, repeated and compared with the paper."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, cast

import pandas as pd

from lso_bench.analysis.comparison import compare
from lso_bench.analysis.rank_tests import ALPHA
from lso_bench.analysis.table import Files, table
from lso_bench.errors import UnusableError, UsageError
from lso_bench.paper.published import SECTION_5_4
from lso_bench.paper.tables import SEARCHED
from lso_bench.record import Record
from lso_bench.search import SEARCHERS
from lso_bench.spec import Spec
from lso_bench.store.store import Store
from lso_bench.study.command import sped_up
from lso_bench.study.grid import PROTOCOLS, Grid, PlannedRun, Protocol, plan
from lso_bench.task import TASKS
from lso_bench.vae.trained_model import Model

FIRST, LAST = 0.05, 0.0  # thresholds between which the paper reports the distance of the latents
UNDECIDED = "undecided"
CLAIMED = ("vae", "nevae_se")  # models whose gaps the paper compares
GAPS = (0.01, 0.005, LAST)  # thresholds of the gap between two starts; the paper speaks of the first two


@dataclass(frozen=True)
class LatentSearchResult:
    """Results of section 5.4, with the paper's step counts."""

    title: str
    name: str  # of the written files
    rows: pd.DataFrame  # one row per trained model: see `_row`
    gaps: pd.DataFrame  # one row per trained model, pair of starts and threshold of GAPS: see `_gap_rows`
    order: list[str]  # of pairs of models by steps to threshold 0, one line per pair, and over trainings
    notes: list[str]
    command: str  # reproduces the runs
    weights: dict[str, str]  # by model, "vae", or of a further training "vae, training 1": sha256 of the checkpoint
    versions: list[dict[str, Any]]  # of each run


def check(data: str, searcher: str) -> None:
    """Refuse settings that could only fail after hours of training.

    Raises:
        UsageError: no such task or searcher, or a searcher that does not descend: the paper counts steps of a descent.
    """
    TASKS.build(f"{data}50")
    if not SEARCHERS.build(searcher).descends:
        raise UsageError(f"Section 5.4 counts the steps of a descent; wanted adam or its like, got {searcher!r}.")


def planned(models: Iterable[Model], seeds: Sequence[int], searcher: str = "adam") -> list[PlannedRun]:
    """Plan the runs: to threshold 0 from a random start and the encoder's start; further `seeds` from random starts.

    Raises:
        UsageError: no such searcher.
        UnusableError: a model that is not trained.
    """
    runs = []
    for m in models:
        for starts, init_seeds in ((None, seeds[:1]), (("random",), seeds[1:])):
            if not init_seeds:
                continue  # one seed: there are no further starts
            grid = Grid(
                [m.name], [f"{m.data}50"], [searcher], init_seeds, train_seeds=[m.seed], arch=m.arch, latent=m.latent
            )
            runs += plan(grid, Protocol(starts=starts, joint=True, **PROTOCOLS["paper"]))
    return runs


def repeated(runs: Sequence[PlannedRun], store: Store, absent: Sequence[Model] = ()) -> LatentSearchResult:
    """Summarise the runs of section 5.4 that are in the store.

    Args:
        absent: models without weights here; their runs count if they differ from `runs` in nothing but the model.

    Raises:
        UnusableError: the store has none of them.
    """
    keys = {p.spec.key for p in runs}
    records = [r for r in store if r.members and r.spec.key in keys]
    records += _without_weights([r for r in store if r.members and r.spec.model in absent], [p.spec for p in runs])
    if not records:
        raise UnusableError("None of the searches of section 5.4 was run; leave --no-train out to train and run them.")
    first = records[0].spec
    title = f"Section 5.4, steps to threshold 0: {first.task}, architecture {first.model.arch}, {first.searcher}"
    trained = _by_training(records)
    measures = {model: compare(of_model, lambda _: store).measures for model, of_model in trained.items()}
    name = "-".join([first.model.data, first.model.arch, *first.searcher.split(",")[0].split(":")])
    return LatentSearchResult(
        title,
        "".join(c if c.isalnum() or c in ".-=" else "+" for c in name),
        pd.DataFrame([_row(m, of_model, measures[m]) for m, of_model in trained.items()]),
        pd.DataFrame([row | {"training": m.seed} for m in trained for row in _gap_rows(measures[m])]),
        [*_orders(records, lambda _: store)],
        [*_result_notes(records, keys)],
        _command([*(p.spec for p in runs), *(r.spec for r in records)], records),
        {_label(m): of_model[0].spec.checkpoint for m, of_model in trained.items()},
        [r.versions for r in records],
    )


def _without_weights(records: Iterable[Record], specs: Sequence[Spec]) -> list[Record]:
    """Return the records that have the settings of one of `specs`; none of a model searched with two checkpoints."""

    def settings(spec: Spec) -> Spec:
        return replace(spec, model=specs[0].model, checkpoint="")

    planned_settings = {settings(spec) for spec in specs}
    alike = [r for r in records if settings(r.spec) in planned_settings]
    checkpoints = Counter(model for model, _ in {(r.spec.model, r.spec.checkpoint) for r in alike})
    return [r for r in alike if checkpoints[r.spec.model] == 1]


def _by_training(records: Iterable[Record]) -> dict[Model, list[Record]]:
    """Return the records of each trained model: models in the order of SEARCHED, each with its trainings in order."""
    trained: dict[Model, list[Record]] = {}
    for r in sorted(records, key=lambda r: (SEARCHED.index(r.spec.model.name), r.spec.model.seed)):
        trained.setdefault(r.spec.model, []).append(r)
    return trained


def _label(model: Model) -> str:
    return f"{model.name}, training {model.seed}" if model.seed else model.name


def _gap_rows(measures: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Yield the gap between the losses of two starts at each threshold of GAPS: median with its interval, mean."""
    gaps = cast(pd.DataFrame, measures[(measures.measure == "gap") & measures.threshold.isin(GAPS)])
    for row in gaps.sort_values("threshold", ascending=False, kind="stable").to_dict("records"):
        yield {k: row[k] for k in ("model", "start", "threshold", "n", "censored", "median", "low", "high", "mean")}


def _row(model: Model, records: Sequence[Record], measures: pd.DataFrame) -> dict[str, object]:
    """Return the values of one trained model.

    Steps to threshold 0 are those of the mean over the images ("together", with minimum and maximum of the runs) and of
    single images. The squared distance is between the latents from two random starts; with one seed, between those from
    the random start and the encoder's.
    """
    pair = "random - random" if (measures.start == "random - random").any() else "random - encoder"

    def statistics(measure: str, start: str, threshold: float | None = None) -> pd.Series:
        at = measures.threshold.isna() if threshold is None else measures.threshold == threshold
        rows = measures[(measures.measure == measure) & (measures.start == start) & at]
        return rows.iloc[0] if len(rows) else pd.Series(dict.fromkeys(measures.columns, math.nan))

    joint = _joint_steps(records, "random")
    single, basin = statistics("iterations", "random", LAST), statistics("basin", pair)
    return {
        "model": model.name,
        "training": model.seed,
        "paper": SECTION_5_4.get(model.name),
        "random": statistics("joint", "random", LAST)["median"],
        "random low": joint.min(),
        "random high": joint.max(),
        "runs": statistics("joint", "random", LAST)["n"],
        "encoder": statistics("joint", "encoder", LAST)["median"],
        **{f"single {k}": single[k] for k in ("median", "low", "high", "n", "censored")},
        "pair": pair,
        f"distance {FIRST:g}": statistics("distance", pair, FIRST)["median"],
        f"distance {LAST:g}": statistics("distance", pair, LAST)["median"],
        "distance end mean": statistics("distance", pair)["mean"],
        **{f"basin {k}": basin[k] for k in ("estimate", "low", "high")},
        "norm": statistics("norm", "random")["median"],
    }


def _orders(records: Sequence[Record], files: Callable[[Spec], Files]) -> Iterator[str]:
    """Yield the order of the models within each training seed, then over trainings, where there are several."""
    seeds = sorted({r.spec.model.seed for r in records})
    for seed in seeds:
        of_seed = [r for r in records if r.spec.model.seed == seed]
        of_claim = [r for r in of_seed if r.spec.model.name in CLAIMED]
        prefix = f"training {seed}: " if len(seeds) > 1 else ""
        yield from (prefix + line for line in (*_order(of_seed, files), *_gap_order(of_claim, files)))
    yield from _order_over_trainings(records)


def _order_over_trainings(records: Sequence[Record]) -> Iterator[str]:
    """Yield the steps of each training of a pair of models: medians over single images from random starts.

    Where every training of one model lies beyond every training of the other one, the line has the chance of that if
    the models do not differ: the exact two-sided p of a rank-sum test, 1 in 10 with three trainings of each.
    """
    searches = table(records)
    medians = searches[searches.start == "random"].groupby(["model", "train"])[f"met {LAST:g}"].median()
    for a, b in _paper_pairs(records):
        steps, below = (sorted(float(count) for count in medians[name]) for name in (a, b))
        if min(len(steps), len(below)) > 1:
            verdict = _verdict(steps[0] - below[-1], steps[-1] - below[0])
            counts = (", ".join(f"{count:,.0f}" for count in of_model) for of_model in (steps, below))
            chance = math.comb(len(steps) + len(below), len(steps)) / 2
            by_chance = "" if verdict == UNDECIDED else f" in all, by chance 1 in {chance:.3g} in either order"
            yield f"{_pair(a, b)}: {verdict}{by_chance}; over trainings: {' against '.join(counts)} steps"


def _paper_pairs(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Return the pairs of models that the paper orders, the one with more steps first."""
    names = {r.spec.model.name for r in records}
    return [*combinations(sorted(SECTION_5_4.keys() & names, key=lambda n: -SECTION_5_4[n]), 2)]


def _order(records: Sequence[Record], files: Callable[[Spec], Files]) -> Iterator[str]:
    """Yield the difference in steps of each pair of models that the paper orders: single images, then together."""
    pairs, measures = _paper_pairs(records), compare(records, files).measures
    for a, b in pairs:
        if (pair := _paired(measures, "iterations", "random", a, b)) is not None:
            yield f"{_pair(a, b)}: {_per_image_difference(pair)}"
    for start, start_text in (("random", "random starts"), ("encoder", "from the encoder")):
        names = {name for pair in pairs for name in pair}
        steps_by_model = {n: _joint_steps([r for r in records if r.spec.model.name == n], start) for n in names}
        for a, b in pairs:
            if len(differences := (steps_by_model[a] - steps_by_model[b]).dropna()):
                yield f"{_pair(a, b)}: {_joint_difference(differences, start_text)}"


def _gap_order(records: Sequence[Record], files: Callable[[Spec], Files]) -> Iterator[str]:
    """Yield the paired difference between the gaps of the VAE and of NE-VAE, by threshold and pair of starts."""
    measures = compare(records, files).measures
    for threshold in GAPS[:2]:
        outcome = f"gap {threshold:g}"
        differences = cast(pd.DataFrame, measures[measures.measure == f"model difference:{outcome}"])
        for row in differences.to_dict("records"):
            pair = cast(_Pair, _paired(measures, outcome, str(row["start"]), *CLAIMED))
            yield (
                f"{CLAIMED[0]} > {CLAIMED[1]}: {pair.verdict}; gap between two starts ({row['start']}) at threshold "
                f"{threshold:g}: median difference {pair.difference:+.2g} "
                f"(95 % interval {pair.low:.2g} .. {pair.high:.2g}), smaller in {CLAIMED[1]} on {pair.wins:.0%} of "
                f"{pair.n} images, p = {pair.p:.2g}"
            )


def _pair(a: str, b: str) -> str:
    return f"{a} (paper {SECTION_5_4[a]:,}) > {b} ({SECTION_5_4[b]:,})"


@dataclass(frozen=True)
class _Pair:
    """Difference of a less b over images, and what the paired test says of a > b."""

    difference: float  # median
    low: float
    high: float
    wins: float  # share of images on which b is lower, ties half
    n: int
    p: float  # of Wilcoxon's test, by Holm's method over all pairs of the models of these measures
    effect: float  # rank-biserial correlation, above 0 where b is lower

    @property
    def verdict(self) -> str:
        return UNDECIDED if not self.p < ALPHA else _verdict(self.effect, self.effect)


def _paired(measures: pd.DataFrame, outcome: str, start: str, a: str, b: str) -> _Pair | None:
    """Return the paired comparison of two models, as `compare` has it; None if they share no search."""
    of_pair = (measures.model.isin([a, b])) & measures.against.isin([a, b]) & (measures.start == start)
    rows = measures[of_pair].set_index("measure")
    if (name := f"model difference:{outcome}") not in rows.index:
        return None
    difference = rows.loc[name]
    wins, effect = (float(rows.estimate[f"model {m}:{outcome}"]) for m in ("wins", "effect"))
    is_of_a = difference["model"] == a  # it is of the one with the larger mean rank
    sign = 1 if is_of_a else -1
    low, high = sorted((sign * difference["low"], sign * difference["high"]))
    wins_of_b = 1 - wins if is_of_a else wins
    median, p = sign * difference["estimate"], difference["p"]
    return _Pair(median, low, high, wins_of_b, int(difference["n"]), p, -sign * effect)


def _per_image_difference(pair: _Pair) -> str:
    """Describe the difference on the same images, each with the median of its random starts."""
    has_interval = not math.isnan(pair.low)
    interval = f"95 % interval over images {pair.low:,.0f} .. {pair.high:,.0f}, " if has_interval else ""
    return (
        f"{pair.verdict}; single images, random starts: median difference {pair.difference:+,.0f} steps "
        f"({interval}n = {pair.n}), p = {pair.p:.2g}"
    )


def _joint_difference(differences: pd.Series, start_text: str) -> str:
    """Describe the median difference of the joint stop from the same starts.

    Its range over the few seeds is no interval.
    """
    low, high = differences.min(), differences.max()
    spread = (
        f"range over seeds {low:,.0f} .. {high:,.0f}, n = {len(differences)}" if len(differences) > 1 else "one run"
    )
    middle = f"median difference {differences.median():+,.0f} steps"
    return f"{_verdict(low, high)}; together, {start_text}: {middle} ({spread})"


def _verdict(low: float, high: float) -> str:
    return "as in the paper" if low > 0 else "THE OTHER WAY ROUND" if high < 0 else UNDECIDED


def _joint_steps(records: Iterable[Record], start: str) -> pd.Series:
    """Return the steps until the mean loss over a start's images met the last threshold, by init seed; infinite if not
    met.
    """
    met = {r.spec.seeds.init: r.joint[start][r.spec.thresholds.index(LAST)] for r in records if start in r.joint}
    return pd.Series({seed: math.inf if step is None else step for seed, step in met.items()}, dtype=float)


def _result_notes(records: Sequence[Record], keys: set[str]) -> Iterator[str]:
    yield "the paper gives neither its learning rate nor whether the images stop together; steps depend on both"
    trainings = len({r.spec.model.seed for r in records})
    few = "one training seed" if trainings == 1 else f"{trainings} trainings of a model are few"
    yield f"{few}: the intervals are over images, and say nothing about another training"
    yield "p is Wilcoxon's over images: of single images by Holm's method over all pairs of models, of gaps of one pair"
    if any(r.spec.precision == "fp32" for r in records):
        yield "threshold 0 is met in float32, once the loss no longer resolves its fall: in part a matter of rounding"
    if missing := len(keys - {r.spec.key for r in records}):
        yield f"{missing} of {len(keys)} runs are missing or failed"
    if len({r.versions.get("device") for r in records}) > 1:
        yield "not all runs are of the same device"
    if len({bool(r.versions.get("compiled")) for r in records}) > 1:
        yield "not all runs were compiled; the command compiles all"


def _command(specs: Sequence[Spec], records: Sequence[Record]) -> str:
    models = ",".join(dict.fromkeys(spec.model.name for spec in specs))
    seeds = ",".join(dict.fromkeys(str(spec.seeds.init) for spec in specs))
    spec = specs[0]
    options = f"--data {spec.model.data} --arch {spec.model.arch} --searcher {spec.searcher} --seed {seeds}"
    if (trainings := sorted({spec.model.seed for spec in specs})) != [0]:
        options += f" --train-seed {','.join(map(str, trainings))}"
    return f"lso-bench reproduce search --models {models} {options}" + sped_up(records)
