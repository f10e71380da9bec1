"""The command `traverse`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lso_bench.api.execution import device_of
from lso_bench.api.output import say
from lso_bench.bounds import SEED
from lso_bench.commands.ending import Attempts
from lso_bench.commands.options import (
    Arch,
    DataDir,
    DataOfModels,
    Device,
    Latent,
    Models,
    Results,
    TrainSeed,
    names,
    numbers,
)
from lso_bench.errors import UsageError

if TYPE_CHECKING:
    from lso_bench.vae.trained_model import Model


def traverse(
    model: Models,
    data: DataOfModels = None,
    dimensions: Annotated[
        list[str], typer.Option(help="That get a sheet of their own, with commas; 0 is the most active.")
    ] = ["0"],  # noqa: B006
    steps: Annotated[int, typer.Option(min=2, max=1000, help="Samples of a walk.")] = 100,
    reach: Annotated[float, typer.Option(min=0.0, help="How far it goes, standard deviations.")] = 10.0,
    space: Annotated[
        str | None, typer.Option(help="Coordinates: prior or standard [default: standard for models from outside].")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, max=SEED, help="Seed of the random direction and of the ink.")] = 0,
    active: Annotated[
        float, typer.Option(min=0.0, help="Activity above which the last walk holds a dimension at 0.")
    ] = 0.01,
    arch: Arch = None,
    latent: Latent = 32,
    seed: TrainSeed = 0,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
) -> None:
    """Draw walks through latent spaces, or print their texts: every dimension by activity, single ones, a direction."""
    from lso_bench.models import traversal
    from lso_bench.store.store import Store
    from lso_bench.study.lookup import measured_models

    single_dimensions = numbers("dimensions", dimensions)
    models = measured_models(names("model", model), data, arch, latent, seed)
    last = min(m.latent for m in models) - 1
    if not all(0 <= n <= last for n in single_dimensions):
        raise UsageError(f"--dimensions wants numbers from 0 to {last}, not {','.join(dimensions)!r}.")
    walk_settings = traversal.Walks(single_dimensions, steps, reach, draws, active, space)
    Store(results)
    attempts = Attempts()
    for m in models:
        with attempts.work_on(m.name):
            written = traversal.traverse(m, walk_settings, results / "traversals", data_dir, device_of(device))
            _say_written(m, written, active)
    attempts.end()


def _say_written(model: "Model", written: Sequence[Path], active: float) -> None:
    """Print texts, and say which files were written and which walk is missing."""
    from lso_bench.vae.frozen_models import has_encoder

    for path in written:
        if path.suffix == ".txt":
            print(path.read_text("utf-8"), end="")
        say(f"written: {path}")
    if not any("-passive" in p.name for p in written):
        why = f"all are above {active:g}; --active sets another limit"
        if not has_encoder(model.name, model.external):
            why = "it has no encoder, by which they are measured"
        say(f"No walk of {model.name} without active dimensions: {why}.")
