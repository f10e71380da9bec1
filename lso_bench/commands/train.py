"""The command `train`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.execution import check_capture, check_compile, device_of
from lso_bench.api.output import say
from lso_bench.commands.options import (
    Arch,
    Capture,
    Compile,
    Data,
    DataDir,
    Device,
    Epochs,
    Latent,
    Precision,
    Quiet,
    TrainSeed,
    outside,
    plugin,
)


def train(
    model: Annotated[str, typer.Option(parser=plugin, metavar="TEXT", help="A name; `lso-bench list models`.")],
    data: Data,
    arch: Arch = None,
    latent: Latent = 32,
    seed: TrainSeed = 0,
    epochs: Epochs = None,
    compile: Compile = False,
    capture: Capture = False,
    precision: Precision = "fp32",
    tensorboard: Annotated[
        Path | None,
        typer.Option(parser=outside, metavar="PATH", help="Folder for TensorBoard curves; needs the extra."),
    ] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again after an interruption, it goes on from there."""
    from lso_bench.models import training
    from lso_bench.study.lookup import trainable_model

    resolved_device = device_of(device)
    check_capture(capture, resolved_device)
    check_compile(compile, resolved_device)
    model_spec = trainable_model(model, data, arch, latent, seed)
    plan = training.plan(model_spec, epochs, compile, capture, precision)
    path = training.train(plan, data_dir, resolved_device, quiet, tensorboard)
    say(f"checkpoint: {path}")
