"""Load a model, trained by this program or from outside."""

from pathlib import Path
from typing import Any

from lso_bench.errors import UnusableError
from lso_bench.vae import checkpoint, external_checks, external_model
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.frozen import freeze
from lso_bench.vae.model import LatentModel
from lso_bench.vae.trained_model import Model


def fingerprint(model: Model, path: Path) -> str:
    """Compute the sha256 of a model's weights in the file `path`; of an external model, of its code and weights.

    Raises:
        UsageError, UnusableError: the file, or the model, is missing or cannot be used.
    """
    if model.external:
        return external_model.fingerprint(model.name, external_model.build(model.name, model.seed))
    return checkpoint.sha256(path)


def load(model: Model, path: Path) -> tuple[LatentModel, dict[str, Any]]:
    """Return a frozen model on the CPU, and the header of its checkpoint; empty for an external model.

    Raises:
        UnusableError, UsageError: as `lso_bench.vae.checkpoint.load_model`; or it is of samples of another shape, such
            as another vocabulary, than the data.
        PluginError: as `lso_bench.vae.external_model.load` and `lso_bench.vae.external_checks.check`.
    """
    if model.external:
        mine = external_model.load(model.name, model.seed)
        external_checks.check(mine)
        return mine, {}
    vae, header = checkpoint.load_model(path, model.arch)
    if vae.shape != (shape := tuple(DATASETS.build(model.data).shape)):
        raise UnusableError(
            f"{path} is of samples of shape {vae.shape}, and those of {model.data} have {shape}; move it away, and "
            "train again."
        )
    return freeze(vae), header
