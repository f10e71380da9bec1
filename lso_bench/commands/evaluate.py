"""The command `evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.execution import device_of
from lso_bench.api.output import out, say
from lso_bench.bounds import DRAWS
from lso_bench.commands.ending import Attempts
from lso_bench.commands.options import (
    Arch,
    DataDir,
    DataOfModels,
    Device,
    Draws,
    Json,
    Latent,
    Models,
    Quiet,
    Results,
    TrainSeed,
    names,
)
from lso_bench.errors import UsageError


def evaluate(
    model: Models,
    data: DataOfModels = None,
    arch: Arch = None,
    latent: Latent = 32,
    seed: TrainSeed = 0,
    each: Annotated[bool, typer.Option("--each", help="Also every latent dimension: activity and KL.")] = False,
    draws: Draws = 0,
    nll_images: Annotated[int, typer.Option(min=0, max=DRAWS, help="Samples for the NLL; 0 leaves it out.")] = 100,
    nll_samples: Annotated[int, typer.Option(min=1, max=DRAWS, help="Latents a sample for the NLL.")] = 500,
    codes: Annotated[
        int, typer.Option(min=0, max=DRAWS, help="Latents for latent consistency, decoder use, retrieval; 0: none.")
    ] = 500,
    device: Device = "auto",
    results: Results = Path("results"),
    data_dir: DataDir = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure latent spaces on the test set: -ELBO, NLL, KL, MI, active units, decoder use, re-encoding; texts more."""
    from lso_bench.models.measurements import measured
    from lso_bench.report import measurements
    from lso_bench.store.store import Store
    from lso_bench.study.lookup import measured_models
    from lso_bench.vae.evaluation import SampleSizes

    models = measured_models(names("model", model), data, arch, latent, seed)
    if nll_images == 1 or codes == 1:
        raise UsageError("--nll-images and --codes want 2 or more, for a standard error; 0 leaves the measure out.")
    effort = SampleSizes(images=nll_images, samples=nll_samples, codes=codes)
    measuring_device = device_of(device)
    Store(results)
    attempts = Attempts()
    measured_models = measured(models, results, data_dir, measuring_device, effort, draws, quiet, attempts.work_on)
    if attempts.all_failed:
        attempts.end()
    print(measurements.as_json(measured_models)) if json else out().print(measurements.terminal(measured_models))
    if each and not json:
        out().print(measurements.dimensions(measured_models))
    say(f"picture: {measurements.picture(measured_models, results / 'pictures')}")
    attempts.end()
