"""Lists of names to the specs of a grid, each with its checkpoint."""

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product, starmap
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from lso_bench import starts as starts_of
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.plugins import registry
from lso_bench.plugins.identity import UNKNOWN, Identity, identity
from lso_bench.record import Record
from lso_bench.runner.run import check_fit
from lso_bench.search import Searcher
from lso_bench.search import region as regions
from lso_bench.spec import THRESHOLDS, Seeds, Spec
from lso_bench.store.schema import unreadable
from lso_bench.study.overrides import Rule, Rules
from lso_bench.task import Task
from lso_bench.vae import data as datasets
from lso_bench.vae import networks, zoo
from lso_bench.vae.bounds import is_name
from lso_bench.vae.checkpoint import sha256
from lso_bench.vae.datasets import Source
from lso_bench.vae.errors import UnusableError as VaeUnusableError
from lso_bench.vae.networks import ARCHITECTURES, architecture
from lso_bench.vae.notation import name_of, unquoted_path, whole


@dataclass(frozen=True)
class PlannedRun:
    """One run to be done, and the weights that it needs."""

    spec: Spec
    checkpoint: Path
    identity: Identity = UNKNOWN  # of code and data, when it was planned


@dataclass(frozen=True)
class Protocol:
    """How every run of a grid is done; None where searcher, task and architecture decide."""

    starts: tuple[str, ...] | None = None  # random, and the encoder's where there are targets
    decoding: str | None = None  # teacher for a PixelCNN (without targets: sample), mean for another decoder
    max_steps: int | None = None  # of a searcher that descends; its budget, else those of the quick protocol
    budget: int | None = None  # evaluations a problem; EVALUATIONS for a searcher that does not descend
    seconds: float | None = None  # no limit
    patience: int | None = None  # steps without a better score; none
    check_every: int = 100  # steps
    thresholds: tuple[float, ...] = THRESHOLDS  # of the change of the loss between two checks
    joint: bool = False


@dataclass(frozen=True)
class Grid:
    """Lists of names and seeds; every combination is a run."""

    models: Sequence[str]
    tasks: Sequence[str]
    searchers: Sequence[str] = ("adam",)
    seeds: Sequence[int] = (0,)  # of starts
    search_seeds: Sequence[int] | None = None  # of searches; None: each that of its starts
    train_seeds: Sequence[int] = (0,)
    regions: Sequence[str] | None = None  # None: a box of 3 for a searcher that wants one
    arch: str = "small"
    latent: int = 32
    rules: Sequence[Rule] = ()  # some of the combinations left out, or done otherwise


# At most so many down a gradient, by protocol; the paper's goes to threshold 0.
STEPS = {"quick": 300, "paper": 100_000}
EVALUATIONS = 300  # a problem, where a searcher does not descend and no budget is given
BOX = "box:3"
MOST = 2_000_000  # runs of a study, all of which are planned at once
VERSION = re.compile(r"\+[0-9a-f]{8}(?=-|[.:])")  # in the name of a checkpoint, of what is the user's own
LONGEST_FILE = 200  # bytes of a checkpoint's name; others are made of it, and systems take 255
HELD = "numbers below 2^53 that have an end, and names in UTF-8, of one line and without NUL"  # by a result


def plan(
    grid: Grid, protocol: Protocol = Protocol(), report: Callable[[int, int], None] = lambda done, total: None
) -> list[PlannedRun]:
    """The runs of a grid, in its order; of those that mean the same, the first.

    Args:
        report: is told now and then how many of how many combinations are planned.

    Raises:
        UsageError: an unknown name, or parts that do not fit together.
        UnusableError: a checkpoint that is missing; says how to train it.
    """
    lists = grid.models, grid.tasks, grid.searchers, grid.seeds, grid.search_seeds or [0], grid.train_seeds
    if (combined := prod(map(len, (*lists, grid.regions or [None])))) > MOST:
        raise UsageError(f"These lists combine to {combined:,} runs; wanted {MOST:,} at most: run them in parts.")
    rules, once, planned, axes = Rules(grid.rules), _Once(grid), dict[Spec, PlannedRun](), _axes(grid)
    total = prod(map(len, axes))
    for done, parts in enumerate(starmap(_Parts, product(*axes))):
        if (changed := rules.settings(parts.named)) is not None:
            alike = once.planned(replace(protocol, **changed) if changed else protocol, parts._replace(seeds=Seeds()))
            spec = replace(alike.spec, seeds=parts.seeds)
            planned.setdefault(spec, replace(alike, spec=spec))
        report(done, total)
    rules.check()
    if not planned:
        raise UsageError("The rules of this study leave out all of its runs.")
    return [*planned.values()]


def _axes(grid: Grid) -> list[dict[Any, None]]:
    """What is combined, every name in its one spelling."""
    tasks = [registry.resolved("task", name) for name in grid.tasks]
    searchers = [registry.resolved("searcher", name) for name in grid.searchers]
    within = [regions.canonical(r) for r in grid.regions or ()] or [None]
    seeds = [Seeds(i, s) for i in grid.seeds for s in (grid.search_seeds or [i])]
    axes = tasks, searchers, within, map(canonical_model, grid.models), grid.train_seeds, seeds
    return [dict.fromkeys(axis) for axis in axes]


def shard(planned: Sequence[PlannedRun], text: str) -> list[PlannedRun]:
    """The i-th of n parts of the runs, for `i/n`: disjoint, together all, and the same wherever they are asked for.

    Raises:
        UsageError: no such part.
    """
    part, _, parts = text.partition("/")
    try:
        n = whole(parts, 1)
        i = whole(part, 1, n)
    except ValueError as error:
        raise UsageError(f"--shard wants a part like 3/16, from 1/16 to 16/16; got {text!r}.") from error
    return [p for p in planned if int(p.spec.key, 16) % n == i - 1]


class _Parts(NamedTuple):
    """What one run of a grid is of."""

    task: str
    searcher: str
    region: str | None
    model: str
    train_seed: int
    seeds: Seeds

    @property
    def named(self) -> dict[str, str | int | None]:
        """As a rule names them."""
        seeds = {"seed": self.seeds.init, "search_seed": self.seeds.search}
        return {k: v for k, v in self._asdict().items() if k != "seeds"} | seeds


class _Once:
    """What the names of one grid stand for, each read once."""

    def __init__(self, grid: Grid):
        self._grid = grid
        self.plugin = cache(registry.build)
        self.deterministic = cache(lambda model: zoo.objective(model).deterministic)
        self.weights = cache(self._weights)
        self.source = cache(self._source)
        self.identity = cache(self._identity)
        self.planned = cache(lambda protocol, parts: _planned(protocol, parts, self))  # but for the seeds

    def _weights(self, name: str, task: str, seed: int) -> tuple[zoo.Model, Path, str]:
        """A model on the data of a task, and where its weights lie, with their sha256."""
        data = self.plugin("task", task).data
        try:
            check_data(data)
        except UsageError as error:
            raise UsageError(f"Task {task!r}: {error}") from error
        model = named_model(name, data, self._grid.arch, self._grid.latent, seed)
        path = find_checkpoint(model)
        return model, path, sha256(path)

    def _source(self, task: str, searcher: str) -> str:
        return registry.source_of(self.plugin("task", task), self.plugin("searcher", searcher))

    def _identity(self, task: str, searcher: str) -> Identity:
        return identity(task, self.plugin("task", task), searcher, self.plugin("searcher", searcher))


def _planned(protocol: Protocol, parts: _Parts, once: _Once) -> PlannedRun:
    named = parts.task, parts.searcher
    task, searcher = once.plugin("task", parts.task), once.plugin("searcher", parts.searcher)
    usual = ("random", "encoder") if task.has_targets else ("random",)
    starts = tuple(map(starts_of.canonical, protocol.starts or usual))
    starts_of.check_variance(starts, once.deterministic(parts.model))
    model, path, weights = once.weights(parts.model, parts.task, parts.train_seed)
    spec = Spec(
        model=model,
        checkpoint=weights,
        task=parts.task,
        searcher=parts.searcher,
        source=once.source(*named),
        seeds=parts.seeds,
        region=parts.region or (BOX if searcher.bounded else "none"),
        starts=starts,
        decoding=_decoding(model, task) if protocol.decoding is None else protocol.decoding,
        **_ends(protocol, searcher),
    )
    if odd := unreadable(spec):
        raise UsageError(f"No result can hold the {odd}; wanted {HELD}.")
    check_fit(spec, task, searcher)
    return PlannedRun(spec, path, once.identity(*named))


def plan_warnings(planned: Sequence[PlannedRun], descents: Sequence[str] = ()) -> list[str]:
    """What a user should know before the runs, a line each; `descents`: given options that only descents heed."""
    within = dict.fromkeys((p.spec.region, p.spec.model.latent) for p in planned)
    lines = [w for w in dict.fromkeys(regions.far(*pair) for pair in within) if w]
    names = dict.fromkeys(p.spec.searcher for p in planned)
    deaf = [name_of(n) for n in names if not registry.build("searcher", n).descends]
    if deaf and descents:
        lines.append(f"{' and '.join(descents)}: of no effect on {', '.join(deaf)}; give --budget, evaluations.")
    return lines


def runs_of_other_versions(records: Iterable[Record]) -> dict[str, list[str]]:
    """Keys of the runs that another version of their task or searcher made than is there now, by its name.

    Of runs that do not say their version nothing is known.
    """
    now = cache(registry.origin)
    found: dict[str, list[str]] = {}
    for r in records:
        for kind, text in (("task", r.spec.task), ("searcher", r.spec.searcher)):
            said = {k: v for k, v in r.versions.items() if k in (f"{kind}_sha256", f"{kind}_package")}
            if said and said != now(kind, text):
                found.setdefault(f"{kind} {name_of(text)}", []).append(r.spec.key)
    return found


def _decoding(model: zoo.Model, task: Task) -> str:
    if not architecture(model.arch, model.latent).kernels:
        return "mean"
    return "teacher" if task.has_targets else "sample"


def _ends(protocol: Protocol, searcher: Searcher) -> dict[str, Any]:
    """When a run ends. The change of the loss is looked at where a searcher descends; the others spend a budget."""
    same = {k: getattr(protocol, k) for k in ("seconds", "patience", "check_every", "thresholds", "joint")}
    if searcher.descends:
        return same | {
            "max_steps": protocol.max_steps or protocol.budget or STEPS["quick"],
            "budget": protocol.budget,
        }
    budget = protocol.budget or EVALUATIONS
    return same | {"max_steps": budget, "budget": budget, "thresholds": (), "joint": False}


def check_data(name: str) -> Source:
    """Where the images of a data set come from.

    Raises:
        UsageError: there is no such data set, file, folder or setting.
    """
    if not is_name(name):
        raise UsageError(
            f"Data set {name!r}: wanted a name in UTF-8, of one line and without NUL; rename its file or folder."
        )
    try:
        return datasets.source(name)
    except ValueError as error:
        if str(error).startswith("No data set"):
            raise unknown("data set", name, list(datasets.names())) from error
        raise UsageError(f"Data set {name!r}: {error} {unquoted_path(name)}".rstrip()) from error


def canonical_model(name: str) -> str:
    """The one name of a model.

    Raises:
        UsageError: no such objective or setting.
    """
    try:
        return zoo.canonical(name)
    except ValueError as error:
        if str(error).startswith("No model"):
            raise unknown("model", name, zoo.names()) from error
        raise UsageError(f"Model {name!r}: {error} {unquoted_path(name)}".rstrip()) from error


def named_model(name: str, data: str, arch: str, latent: int, seed: int) -> zoo.Model:
    """The model of that name, everything in its one spelling.

    Raises:
        UsageError: no such objective, data set, setting or architecture, or an architecture that does not fit the data.
    """
    if odd := unreadable(zoo.Model(name, data, arch, latent, seed)):
        raise UsageError(f"No result can hold the {odd}; wanted {HELD}.")
    images = check_data(data)
    try:
        architecture(arch, latent, images.size, images.likelihood)
    except ValueError as error:
        if str(error).startswith("No architecture"):
            raise unknown("architecture", arch, list(ARCHITECTURES)) from error
        raise UsageError(f"Architecture {arch!r}: {error}") from error
    model = zoo.Model(canonical_model(name), datasets.canonical(data), networks.canonical(arch), latent, seed)
    if (length := len(model.file.encode())) > LONGEST_FILE:
        raise UsageError(
            f"Model {name!r}: the name of its checkpoint has {length} bytes, wanted {LONGEST_FILE} at most."
        )
    return model


def find_checkpoint(model: zoo.Model) -> Path:
    """Where its weights lie.

    Raises:
        UnusableError: nowhere; gives the command that trains them and about how long it takes.
    """
    try:
        return zoo.checkpoint(model)
    except VaeUnusableError as error:
        given = {
            "model": model.name,
            "data": model.data,
            "arch": model.arch,
            "latent": model.latent,
            "seed": model.seed,
        }
        usual = {"latent": 32, "seed": 0}
        options = [part for k, v in given.items() if v != usual.get(k) for part in (f"--{k}", str(v))]
        time = (
            "a day on 2 CPU cores, an hour or two on a GPU"
            if model.arch.startswith("paper")
            else "an hour on 2 CPU cores"
        )
        which = f"{model.name} ({model.arch}, d = {model.latent}) on {model.data}{_changed(model)}"
        raise UnusableError(
            f"No checkpoint of {which}. Train it, in about {time}: {shlex.join(['lso-bench', 'train', *options])}"
        ) from error


def _changed(model: zoo.Model) -> str:
    """What is to be said where a checkpoint of the user's own data or objective is there, of another version of it."""
    pattern = re.sub(VERSION, "+" + "[0-9a-f]" * 8, model.file)
    before = sorted(path.name for path in zoo.own_folder().glob(pattern)) if pattern != model.file else []
    return f" as it is now: it has changed since {before[0]} was trained" if before else ""
