"""The command `train-judge`."""

from typing import Annotated

import typer

from lso_bench.api.output import say
from lso_bench.bounds import WHOLE
from lso_bench.commands.options import DataDir, Quiet, TrainSeed


def train_judge(
    kind: Annotated[str, typer.Argument(help="classifier or density.")],
    data: Annotated[str, typer.Option(help="mnist or omniglot; a density of glyphs, too.")],
    epochs: Annotated[int | None, typer.Option(min=1, max=WHOLE, help="[default: 12; density 4]")] = None,
    seed: TrainSeed = 0,
    data_dir: DataDir = None,
    quiet: Quiet = False,
) -> None:
    """Train a model that tasks judge images by; interrupted, it begins anew. Tasks use those that ship."""
    from lso_bench.models import training
    from lso_bench.vae.datasets import DATASETS

    DATASETS.build(data)
    say(f"written: {training.train_judge(kind, data, epochs, seed, data_dir, quiet)}")
