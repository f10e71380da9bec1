"""Lists of names to the specs of a grid, each with its checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from lso_bench import plugins
from lso_bench.errors import UnusableError, UsageError, unknown
from lso_bench.run import check_fit
from lso_bench.spec import Seeds, Spec
from vae import zoo
from vae.checkpoint import sha256
from vae.data import DATASETS
from vae.errors import UnusableError as VaeUnusableError
from vae.networks import ARCHITECTURES, architecture


@dataclass(frozen=True)
class Planned:
    """One run to be done, and the weights that it needs."""

    spec: Spec
    checkpoint: Path


@dataclass(frozen=True)
class Grid:
    """Lists of names and seeds; every combination is a run."""

    models: Sequence[str]
    tasks: Sequence[str]
    searchers: Sequence[str] = ("adam",)
    seeds: Sequence[int] = (0,)  # of random starts and of the search
    train_seeds: Sequence[int] = (0,)
    arch: str = "small"
    latent: int = 32
    max_steps: int = 300
    budget: int | None = None  # evaluations a problem
    box: float | None = None  # half-width, prior standard deviations


def plan(grid: Grid) -> list[Planned]:
    """The runs of a grid, in its order.

    Raises:
        UsageError: an unknown name, or parts that do not fit together.
        UnusableError: a checkpoint that is missing; says how to train it.
    """
    return [_planned(grid, *parts) for parts in product(*_axes(grid))]


def _axes(grid: Grid) -> tuple[Sequence, ...]:
    return grid.tasks, grid.searchers, grid.models, grid.train_seeds, grid.seeds


def _planned(grid: Grid, task: str, searcher: str, model: str, train_seed: int, seed: int) -> Planned:
    built = plugins.build("task", task)
    wanted = named_model(model, built.data, grid.arch, grid.latent, train_seed)
    path = find_checkpoint(wanted)
    spec = Spec(
        model=wanted,
        checkpoint=sha256(path),
        task=plugins.resolved("task", task),
        searcher=plugins.resolved("searcher", searcher),
        source=plugins.source_hash(task, searcher),
        seeds=Seeds(init=seed, search=seed),
        starts=("random", "encoder") if built.has_targets else ("random",),
        max_steps=grid.max_steps,
        budget=grid.budget,
        box=grid.box,
    )
    check_fit(spec, built, plugins.build("searcher", searcher))
    return Planned(spec, path)


def check_data(name: str) -> None:
    """Refuse a data set that there is not.

    Raises:
        UsageError: names the nearest.
    """
    if name not in DATASETS:
        raise unknown("data set", name, list(DATASETS))


def named_model(name: str, data: str, arch: str, latent: int, seed: int) -> zoo.Model:
    """The model of that name.

    Raises:
        UsageError: no such objective, setting or architecture.
    """
    try:
        architecture(arch, latent)
    except ValueError as error:
        if str(error).startswith("No architecture"):
            raise unknown("architecture", arch, list(ARCHITECTURES)) from error
        raise UsageError(f"Architecture {arch!r}: {error}") from error
    try:
        zoo.objective(name)
    except ValueError as error:
        if str(error).startswith("No model"):
            raise unknown("model", name, zoo.names()) from error
        raise UsageError(f"Model {name!r}: {error}") from error
    return zoo.Model(name, data, arch, latent, seed)


def find_checkpoint(model: zoo.Model) -> Path:
    """Where its weights lie.

    Raises:
        UnusableError: nowhere; gives the command that trains them and about how long it takes.
    """
    try:
        return zoo.checkpoint(model)
    except VaeUnusableError as error:
        more = f" --latent {model.latent}" * (model.latent != 32) + f" --seed {model.seed}" * (model.seed != 0)
        time = (
            "a day on 2 CPU cores, an hour or two on a GPU"
            if model.arch.startswith("paper")
            else "an hour on 2 CPU cores"
        )
        raise UnusableError(
            f"No checkpoint of {model.name} ({model.arch}, d = {model.latent}) on {model.data}. Train it, in about "
            f"{time}: lso-bench train --model {model.name} --data {model.data} --arch {model.arch}{more}"
        ) from error
