"""Plan the runs of a grid: from lists of names to specs, each with its checkpoint."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product, starmap
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from lso_bench.errors import UnusableError, UsageError
from lso_bench.plugins import code_version
from lso_bench.plugins.notation import is_file, name_of, whole
from lso_bench.record import Record
from lso_bench.run_settings import NEUTRAL, PRIOR, RUN_SETTINGS, TO_ZERO, RunSettings
from lso_bench.runner.identity import PLUGINS, UNKNOWN, Identity, identity, recorded_version
from lso_bench.runner.validation import check_fit
from lso_bench.search import SEARCHERS, Searcher, coordinates
from lso_bench.search import region as regions
from lso_bench.search import starts as starts_of
from lso_bench.search.space import free_running
from lso_bench.spec import Seeds, Spec
from lso_bench.store.schema import unreadable
from lso_bench.study.lookup import (
    STORABLE,
    canonical_model,
    find_checkpoint,
    is_external,
    named_model,
    without_trainings,
)
from lso_bench.study.overrides import Rule, Rules
from lso_bench.task import TASKS, Task
from lso_bench.task.text_task import TextTask
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.frozen_models import FROZEN_MODELS, has_encoder, has_trainings
from lso_bench.vae.loading import fingerprint
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model


@dataclass(frozen=True)
class PlannedRun:
    """One run to be done, and the weights that it needs."""

    spec: Spec
    checkpoint: Path
    identity: Identity = UNKNOWN  # versions of code and data at planning
    untrained: str = ""  # why its checkpoint is not there; see `plan`


@dataclass(frozen=True)
class Codes:
    """Latents at which searches start, and how latents are decoded."""

    starts: tuple[str, ...] | None = None  # None: random, and encoder if there are targets
    decoding: str | None = None  # None: see `_decoding`


@dataclass(frozen=True)
class Protocol(RunSettings, Codes):  # dataclasses put the fields of the last base first
    """Settings of every run of a grid; None where searcher, task and architecture decide."""


@dataclass(frozen=True)
class Grid:
    """Lists of names and seeds; every combination is a run."""

    models: Sequence[str]
    tasks: Sequence[str]
    searchers: Sequence[str] = ("adam",)
    seeds: Sequence[int] = (0,)  # seeds of starts
    search_seeds: Sequence[int] | None = None  # seeds of searches; None: equal to the seed of the starts
    train_seeds: Sequence[int] = (0,)
    regions: Sequence[str] | None = None  # None: box:3 for searchers that need bounds
    arch: str | None = None  # None: small; of data of texts gru
    latent: int = 32
    rules: Sequence[Rule] = ()  # exclude combinations, or change their protocol


PROTOCOLS: dict[str, dict[str, Any]] = {  # settings of a descent that the user does not give, by protocol
    "quick": {},  # see `_run_settings`
    "paper": {"max_steps": 100_000, "thresholds": TO_ZERO},
}
QUICK_STEPS = 1000
QUICK_THRESHOLDS = (0.05, 0.02, 0.01)  # squared errors of images of 28 x 28
EVALUATIONS = 300  # per problem, if a searcher does not descend and no budget is set
DEFAULT_BOX = "box:3"
MAX_RUNS = 2_000_000  # runs of a study, which are all planned at once


def plan(
    grid: Grid,
    protocol: Protocol = Protocol(),
    report: Callable[[int, int], None] = lambda done, total: None,
    recorded: Callable[[Model], str] | None = None,
) -> list[PlannedRun]:
    """Return the runs of a grid, in its order; of several with the same spec, the first.

    Args:
        report: called from time to time with the number of planned combinations and their total.
        recorded: returns the sha256 of weights that are not here, empty if unknown. Without it a missing checkpoint is
            an error.

    Raises:
        UsageError: a name is unknown, or parts do not fit together.
        UnusableError: a checkpoint is missing; the message says how to train it.
    """
    lists = grid.models, grid.tasks, grid.searchers, grid.seeds, grid.search_seeds or [0], grid.train_seeds
    if (combinations := prod(map(len, (*lists, grid.regions or [None])))) > MAX_RUNS:
        raise UsageError(
            f"These lists combine to {combinations:,} runs; wanted {MAX_RUNS:,} at most: run them in parts."
        )
    rules, lookups, planned, axes = Rules(grid.rules), _Lookups(grid, recorded), dict[Spec, PlannedRun](), _axes(grid)
    total = prod(map(len, axes))
    for done, listed in enumerate(starmap(_GridPoint, product(*axes))):
        point = listed if lookups.has_trainings(listed.model) else listed._replace(train_seed=0)
        if (overrides := rules.settings(point.rule_fields)) is not None:
            changed = replace(protocol, **overrides) if overrides else protocol
            prototype = lookups.planned(changed, point._replace(seeds=Seeds()))
            spec = replace(prototype.spec, seeds=point.seeds)
            planned.setdefault(spec, replace(prototype, spec=spec))
        report(done, total)
    rules.check()
    if not planned:
        raise UsageError("The rules of this study leave out all of its runs.")
    return [*planned.values()]


def _axes(grid: Grid) -> list[dict[Any, None]]:
    """Return the lists to combine, with every name in its canonical spelling."""
    tasks = [TASKS.canonical(name) for name in grid.tasks]
    searchers = [SEARCHERS.canonical(name) for name in grid.searchers]
    region_names = [regions.canonical(r) for r in grid.regions or ()] or [None]
    seeds = [Seeds(i, s) for i in grid.seeds for s in (grid.search_seeds or [i])]
    axes = tasks, searchers, region_names, map(canonical_model, grid.models), grid.train_seeds, seeds
    return [dict.fromkeys(axis) for axis in axes]


def _has_trainings(model: str) -> bool:
    """Return whether a model has a training for each seed: ours have, and those from outside with a field `seed`."""
    return not is_external(model) or has_trainings(FROZEN_MODELS.build(model))


def shard(planned: Sequence[PlannedRun], text: str) -> list[PlannedRun]:
    """Return the i-th of n parts of the runs, for `i/n`.

    The parts are disjoint, complete and the same on every machine.

    Raises:
        UsageError: there is no such part.
        UnusableError: the weights of some runs are not known, and with them their parts.
    """
    index_text, _, count_text = text.partition("/")
    try:
        n = whole(count_text, 1)
        i = whole(index_text, 1, n)
    except ValueError as error:
        raise UsageError(f"--shard wants a part like 3/16, from 1/16 to 16/16; got {text!r}.") from error
    if reason := next((p.untrained for p in planned if p.untrained and not p.spec.checkpoint), ""):
        raise UnusableError(f"--shard {text}: which part a run is in follows from its weights. {reason}")
    return [p for p in planned if int(p.spec.key, 16) % n == i - 1]


class _GridPoint(NamedTuple):
    """One combination of a grid."""

    task: str
    searcher: str
    region: str | None
    model: str
    train_seed: int
    seeds: Seeds

    @property
    def rule_fields(self) -> dict[str, str | int | None]:
        """Fields of the combination, under the names that rules use."""
        seeds = {"seed": self.seeds.init, "search_seed": self.seeds.search}
        return {k: v for k, v in self._asdict().items() if k != "seeds"} | seeds


class _Lookups:
    """Cached look-ups of the names of a grid, each done once."""

    def __init__(self, grid: Grid, recorded: Callable[[Model], str] | None = None):
        self._grid, self._recorded = grid, recorded
        self.plugin = cache(lambda kind, text: PLUGINS[kind].build(text))
        self.external = cache(is_external)
        self.has_trainings = cache(_has_trainings)
        self.weights = cache(self._weights)
        self.source = cache(self._source)
        self.identity = cache(self._identity)
        self.planned = cache(lambda protocol, point: _plan_run(protocol, point, self))  # without the seeds

    def _weights(self, name: str, task: str, seed: int) -> tuple[Model, Path, str, str]:
        """Return a model on the data of a task, the path of its weights, their sha256, and why they are not here."""
        data = data_of(self.plugin("task", task))
        try:
            DATASETS.build(data)
        except UsageError as error:
            raise UsageError(f"Task {task!r}: {error}") from error
        model = named_model(name, data, self._grid.arch, self._grid.latent, seed)
        try:
            path = find_checkpoint(model, f", the data of {name_of(task)}" if is_file(name_of(task)) else "")
        except UnusableError as error:
            if self._recorded is None or model.external:
                raise
            return model, Path(model.file), self._recorded(model), str(error)
        return model, path, fingerprint(model, path), ""

    def _source(self, task: str, searcher: str) -> str:
        return code_version.source_of(self.plugin("task", task), self.plugin("searcher", searcher))

    def _identity(self, task: str, searcher: str) -> Identity:
        return identity(task, self.plugin("task", task), searcher, self.plugin("searcher", searcher))


def _plan_run(protocol: Protocol, point: _GridPoint, lookups: _Lookups) -> PlannedRun:
    names = point.task, point.searcher
    task, searcher = lookups.plugin("task", point.task), lookups.plugin("searcher", point.searcher)
    is_external = lookups.external(point.model)
    encodes = task.has_targets and has_encoder(point.model, is_external)
    default_starts = ("random", "encoder") if encodes else ("random",)
    starts = tuple(map(starts_of.canonical, protocol.starts or default_starts))
    if not is_external:  # whether a model from outside has a variance shows when it encodes
        starts_of.check_variance(starts, OBJECTIVES.build(point.model).deterministic)
    model, path, weights, untrained = lookups.weights(point.model, point.task, point.train_seed)
    spec = Spec(
        model=model,
        checkpoint=weights,
        task=point.task,
        searcher=point.searcher,
        source=lookups.source(*names),
        seeds=point.seeds,
        region=point.region or (DEFAULT_BOX if searcher.bounded else "none"),
        starts=starts,
        decoding=_decoding(model, task) if protocol.decoding is None else protocol.decoding,
        **_run_settings(protocol, searcher, task, model),
    )
    if field := unreadable(spec):
        raise UsageError(f"No result can hold the {field}; wanted {STORABLE}.")
    check_fit(spec, task, searcher)
    return PlannedRun(spec, path, lookups.identity(*names), untrained)


def plan_warnings(planned: Sequence[PlannedRun], protocol: Protocol, train_seeds: Sequence[int] = (0,)) -> list[str]:
    """Return warnings for the user before the runs of a protocol, of models that were wanted with these seeds."""
    specs = {(p.spec.region, p.spec.space, p.spec.model.latent): p.spec for p in planned}.values()
    lines = [w for w in dict.fromkeys(map(_region_warning, specs)) if w]
    searchers = dict.fromkeys(p.spec.searcher for p in planned)
    descents = [s.option for s in RUN_SETTINGS.values() if s.descent and getattr(protocol, s.name) != s.default]
    unaffected = {name_of(n): s for n in searchers if not (s := SEARCHERS.build(n)).descends}
    if unaffected and descents:
        follow = [n for n, s in unaffected.items() if s.needs_gradient and not SEARCHERS.is_built_in(n)]
        lines.append(
            f"{' and '.join(descents)}: of no effect on {', '.join(unaffected)}; give --budget, evaluations"
            + f", or write descends = True in {', '.join(follow)}" * bool(follow)
            + "."
        )
    single = [n for n in dict.fromkeys(p.spec.model.name for p in planned) if not _has_trainings(n)]
    if single and list(train_seeds) != [0]:
        lines.append(without_trainings(single))
    return lines


def _region_warning(spec: Spec) -> str:
    name, dimension = coordinates.parse(spec.space, spec.model.latent)
    if name == "examples":  # none of their combinations leaves the examples
        return ""
    center = "the prior" if spec.space == PRIOR else "the aggregate posterior"
    return regions.beyond_prior_warning(spec.region, dimension, center)


def runs_of_other_versions(records: Iterable[Record]) -> dict[str, list[str]]:
    """Return the keys of runs made by another version of their task or searcher than the current one, by its name.

    Runs without a recorded version are skipped.
    """
    current_version = cache(lambda kind, text: PLUGINS[kind].code_version(text))
    keys: dict[str, list[str]] = {}
    for r in records:
        for kind, text in (("task", r.spec.task), ("searcher", r.spec.searcher)):
            recorded = recorded_version(kind, r.spec, r.versions)
            if recorded and recorded != current_version(kind, text):
                keys.setdefault(f"{kind} {name_of(text)}", []).append(r.spec.key)
    return keys


def _decoding(model: Model, task: Task) -> str:
    """Return the default decoding: that of the mean, given the target's pixels if the decoder is autoregressive.

    Where that does not fit, images are drawn, and the likeliest token of a sequence is taken each time.
    """
    if model.external:
        return FROZEN_MODELS.build(model.name).decoding
    if isinstance(task, TextTask):
        return "greedy"
    if not ARCHITECTURES.build(model.arch).autoregressive:
        return "mean"
    return "teacher" if task.has_targets else free_running(DATASETS.build(model.data).likelihood)


def _run_settings(protocol: Protocol, searcher: Searcher, task: Task, model: Model) -> dict[str, Any]:
    """Return the settings of a run; for a searcher that does not descend, a budget and neutral values.

    Scores of a task without target images have a scale of their own, so that its searches go to threshold 0.
    """
    values = {name: getattr(protocol, name) for name in RUN_SETTINGS}
    values["space"] = coordinates.canonical(protocol.space or coordinates.default(model), model.latent)
    if searcher.descends:
        thresholds = protocol.thresholds or (QUICK_THRESHOLDS if task.has_targets else TO_ZERO)
        steps = protocol.max_steps or protocol.budget or QUICK_STEPS
        return values | {"max_steps": steps, "thresholds": thresholds}
    budget = protocol.budget or EVALUATIONS
    return values | NEUTRAL | {"max_steps": budget, "budget": budget}
