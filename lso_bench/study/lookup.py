"""Look up trained models by name, and their checkpoints."""

import re
import shlex
from pathlib import Path

from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.paths import own_folder
from lso_bench.store.schema import unreadable
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import Model
from lso_bench.vae.trained_model import checkpoint as checkpoint_of

VERSION = re.compile(r"\+[0-9a-f]{8}(?=-|[.:])")  # version of a user's data or objective in a checkpoint's name
LONGEST_FILE = 200  # bytes of a checkpoint's name; other names extend it, and file systems allow 255
# Values that a result can store, for messages.
STORABLE = "numbers below 2^53 that have an end, and names in UTF-8, of one line and without NUL"


def named_model(name: str, data: str, arch: str, latent: int, seed: int) -> Model:
    """Return the model of that name, with all names in their canonical spelling.

    Raises:
        UsageError: an objective, data set, setting or architecture does not exist, or the architecture does not fit the
            data.
    """
    if field := unreadable(Model(name, data, arch, latent, seed)):
        raise UsageError(f"No result can hold the {field}; wanted {STORABLE}.")
    images = DATASETS.build(data)
    architecture(arch, latent, images.size, images.likelihood)
    model = Model(OBJECTIVES.canonical(name), DATASETS.canonical(data), ARCHITECTURES.canonical(arch), latent, seed)
    if (length := len(model.file.encode())) > LONGEST_FILE:
        raise UsageError(
            f"Model {name!r}: the name of its checkpoint has {length} bytes, wanted {LONGEST_FILE} at most."
        )
    return model


def find_checkpoint(model: Model) -> Path:
    """Return the path of a model's weights.

    Raises:
        UnusableError: there are none; the message gives the command that trains them and its approximate time.
    """
    try:
        return checkpoint_of(model)
    except UnusableError as error:
        settings = {
            "model": model.name,
            "data": model.data,
            "arch": model.arch,
            "latent": model.latent,
            "seed": model.seed,
        }
        defaults = {"latent": 32, "seed": 0}
        options = [part for k, v in settings.items() if v != defaults.get(k) for part in (f"--{k}", str(v))]
        duration = (
            "a day on 2 CPU cores, an hour or two on a GPU"
            if model.arch.startswith("paper")
            else "an hour on 2 CPU cores"
        )
        description = f"{model.name} ({model.arch}, d = {model.latent}) on {model.data}{_changed_since(model)}"
        raise UnusableError(
            f"No checkpoint of {description}. Train it, in about {duration}: "
            f"{shlex.join(['lso-bench', 'train', *options])}"
        ) from error


def _changed_since(model: Model) -> str:
    """Return a note if a checkpoint exists for another version of the user's own data or objective; else empty."""
    pattern = re.sub(VERSION, "+" + "[0-9a-f]" * 8, model.file)
    earlier = sorted(path.name for path in own_folder().glob(pattern)) if pattern != model.file else []
    return f" as it is now: it has changed since {earlier[0]} was trained" if earlier else ""
