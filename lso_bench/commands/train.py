"""The command `train`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.commands.options import Arch, Data, DataDir, Device, Latent, Quiet, device_of
from lso_bench.commands.output import say
from lso_bench.errors import UsageError


def train(
    model: Annotated[str, typer.Option(help="A name; `lso-bench list models`.")],
    data: Data,
    arch: Arch = "small",
    latent: Latent = 32,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="[default: 30; paper 100]")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="By torch.compile; needs a C++ compiler.")] = False,
    capture: Annotated[bool, typer.Option("--capture", help="The step as a CUDA graph; on a GPU.")] = False,
    precision: Annotated[str, typer.Option(help="fp32, or bf16 where the machine multiplies it.")] = "fp32",
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard curves; needs the extra.")] = None,
    device: Device = "auto",
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a model; started again after an interruption, it goes on from there."""
    from lso_bench import training
    from lso_bench.study import named_model

    on = device_of(device)
    if capture and on != "cuda":
        raise UsageError("--capture wants a CUDA device; leave it out.")
    named = named_model(model, data, arch, latent, seed)
    plan = training.plan(named, epochs, compile, capture, precision)
    path = training.train(plan, data_dir, on, quiet, tensorboard)
    say(f"checkpoint: {path}")
