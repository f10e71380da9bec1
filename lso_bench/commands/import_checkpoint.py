"""The command `import-checkpoint`."""

from pathlib import Path
from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.commands.options import Arch, Data, Latent, TrainSeed, outside, plugin
from lso_bench.errors import UsageError


def import_checkpoint(
    file: Annotated[Path, typer.Argument(parser=outside, help="Weights that torch.save wrote: tensors by name.")],
    model: Annotated[
        str,
        typer.Option(parser=plugin, metavar="TEXT", help="The name that they are to have; `lso-bench list models`."),
    ],
    data: Data,
    arch: Arch = None,
    latent: Latent = 32,
    seed: TrainSeed = 0,
) -> None:
    """Bring weights that were trained elsewhere into a checkpoint; nothing in their file is executed."""
    from lso_bench.files.paths import own_folder
    from lso_bench.study.lookup import trainable_model
    from lso_bench.vae.architectures import architecture
    from lso_bench.vae.datasets import DATASETS
    from lso_bench.vae.import_weights import import_model
    from lso_bench.vae.objectives import OBJECTIVES

    model_spec, images = trainable_model(model, data, arch, latent, seed), DATASETS.build(data)
    path = own_folder() / model_spec.file
    if path.exists():
        raise UsageError(f"{path} is there already; move it away, or say another --seed.")
    deterministic = OBJECTIVES.build(model).deterministic
    import_model(file, path, architecture(model_spec.arch, latent, images.shape, images.likelihood), deterministic)
    say(f"checkpoint: {path}")
