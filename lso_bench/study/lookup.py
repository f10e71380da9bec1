"""Look up trained models by name, and their checkpoints."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from lso_bench.errors import UnusableError, UsageError
from lso_bench.files.paths import own_folder
from lso_bench.files.remarks import remark
from lso_bench.plugins.notation import is_file, name_of
from lso_bench.store.schema import unreadable
from lso_bench.vae import external_model
from lso_bench.vae.architectures import ARCHITECTURES, architecture
from lso_bench.vae.data_path import data_of
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.default_architecture import default_architecture
from lso_bench.vae.frozen_models import FROZEN_MODELS, has_trainings
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import EXTERNAL, Model
from lso_bench.vae.trained_model import checkpoint as checkpoint_of

VERSION = re.compile(r"(?<=\+)[0-9a-f]{8}(?=\+|$)")  # hash of a user's file in a part of a checkpoint's name
PARTS = ("data set", "architecture", "objective")  # parts of a checkpoint's name that may have a hash
LONGEST_FILE = 200  # bytes of a checkpoint's name; other names extend it, and file systems allow 255
# Values that a result can store, for messages.
STORABLE = "numbers below 2^53 that have an end, and names in UTF-8, of one line and without NUL"
DURATIONS = {  # of a training on shipped images, by architecture
    "paper": ", in about a day on 2 CPU cores, an hour or two on a GPU",
    "small": ", in about an hour on 2 CPU cores",
    "conv": ", in about an hour on 2 CPU cores",
}


def is_external(name: str) -> bool:
    """Return whether a name stands for a frozen model from outside, not for an objective that trains ours.

    Raises:
        UsageError: it is a file that does not import, or defines neither.
    """
    if not is_file(name_of(name)) and OBJECTIVES.is_built_in(name_of(name)):
        return False
    if FROZEN_MODELS.defines(name) or _is_other_file(name_of(name)):
        return True
    if is_file(name_of(name)) and not OBJECTIVES.defines(name):
        raise UsageError(
            f"Model {name!r}: wanted one subclass of FrozenModel (networks of your own) or of Objective (a way to "
            "train ours), got none; `lso-bench new-model` writes an example."
        )
    return False


def _is_other_file(name: str) -> bool:
    """Return whether a name is the path of something that is not in Python, as weights are; no objective is one."""
    return not is_file(name) and ("/" in name or os.path.isfile(name))


def canonical_model(name: str) -> str:
    """Return the canonical name of a model.

    Raises:
        UsageError: it does not exist.
    """
    return (FROZEN_MODELS if is_external(name) else OBJECTIVES).canonical(name)


def named_model(name: str, data: str | None, arch: str | None, latent: int, seed: int) -> Model:
    """Return the model of that name, with all names in their canonical spelling.

    A model from outside has its own data set and latent dimensions; the architecture does not concern it, and the seed
    only one that stands for several trainings.

    Args:
        data: data set of the training; None: that of a model from outside.
        arch: architecture; None: the default of these data.

    Raises:
        UsageError: an objective, data set, setting or architecture does not exist, or the architecture does not fit the
            data.
    """
    if is_external(name):
        plugin = external_model.build(name, seed)
        name, data = FROZEN_MODELS.canonical(name), DATASETS.canonical(data_of(plugin))
        if seed and not has_trainings(plugin):
            remark(without_trainings([name]))
        return _storable(Model(name, data, EXTERNAL, plugin.latent, seed if has_trainings(plugin) else 0))
    if data is None:
        raise UsageError(f"Model {name!r}: wanted the data set of its training (--data); see `lso-bench list data`.")
    _storable(Model(name, data, arch or "", latent, seed))
    source = DATASETS.build(data)
    arch = default_architecture(source.likelihood) if arch is None else arch
    architecture(arch, latent, source.shape, source.likelihood)
    model = Model(OBJECTIVES.canonical(name), DATASETS.canonical(data), ARCHITECTURES.canonical(arch), latent, seed)
    if (length := len(model.file.encode())) > LONGEST_FILE:
        raise UsageError(
            f"Model {name!r}: the name of its checkpoint has {length} bytes, wanted {LONGEST_FILE} at most."
        )
    return model


def without_trainings(names: Sequence[str]) -> str:
    """Return a line about frozen models that are one training each, where another one was wanted."""
    return (
        f"The training seed has no effect on {', '.join(names)}: each is one training. Give the class a field "
        "`seed: int = 0` that chooses its weights."
    )


def trainable_model(name: str, data: str, arch: str | None, latent: int, seed: int) -> Model:
    """Return the model of that name, one of our networks.

    Raises:
        UsageError: as `named_model`, or it is a model from outside.
    """
    model = named_model(name, data, arch, latent, seed)
    if model.external:
        raise UsageError(
            f"Model {name!r} is a frozen model with weights of its own; wanted an objective, that trains our networks. "
            f"`lso-bench run --model {name}` searches it as it is."
        )
    return model


def measured_models(names: Sequence[str], data: str | None, arch: str | None, latent: int, seed: int) -> list[Model]:
    """Return the models of these names, each once, for a measurement on their common data set.

    Raises:
        UsageError: as `named_model`; or a model from outside has another data set than the rest, or than `data`.
    """
    models = list(dict.fromkeys(named_model(name, data, arch, latent, seed) for name in names))
    if len({m.data for m in models}) > 1:
        sets = ", ".join(f"{m.name} {m.data}" for m in models)
        raise UsageError(f"Wanted models of one data set, got {sets}; measure those of each data set by themselves.")
    if data is not None and models[0].data != DATASETS.canonical(data):
        raise UsageError(f"Model {models[0].name!r} has samples of {models[0].data}, not of {data}; leave --data out.")
    return models


def _storable(model: Model) -> Model:
    """Return the model, if a result can hold its fields.

    Raises:
        UsageError: names the field.
    """
    if field := unreadable(model):
        raise UsageError(f"No result can hold the {field}; wanted {STORABLE}.")
    return model


def find_checkpoint(model: Model, why_data: str = "") -> Path:
    """Return the path of a model's weights; of a model from outside, that of its file.

    Args:
        why_data: words for a message, where its data are from.

    Raises:
        UnusableError: there are none; the message gives the command that trains them and its approximate time.
    """
    if model.external:
        plugin = external_model.build(model.name, model.seed)
        external_model.fingerprint(model.name, plugin)  # raises where its weights are missing
        return external_model.file_of(plugin)
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
        duration = DURATIONS.get(name_of(model.arch), "") if DATASETS.is_built_in(name_of(model.data)) else ""
        changed = changed_since(model)
        remedy = f"{changed} Put back what it was, or train it again" if changed else "Train it"
        description = f"{model.name} ({model.arch}, d = {model.latent}) on {model.data}{why_data}"
        raise UnusableError(
            f"No checkpoint of {description}. {remedy}{duration}: {shlex.join(['lso-bench', 'train', *options])}"
        ) from error


def changed_since(model: Model) -> str:
    """Return a sentence if a checkpoint exists for other versions of the user's own files; else empty.

    It names what differs from the checkpoint that differs in the fewest files.
    """
    parts, texts = model.file_parts, (model.data, model.arch, model.name)
    data, arch, name = map(_any_version, parts)
    pattern = re.compile(rf"{data}-{arch}-d{model.latent}-{name}-s{model.seed}\.safetensors")
    present = [version.group() if (version := VERSION.search(part)) else "" for part in parts]
    matches = (pattern.fullmatch(path.name) for path in sorted(own_folder().glob("*.safetensors")))
    earlier = [match for match in matches if match]
    changes = [[i for i, version in enumerate(m.groups()) if version != present[i]] for m in earlier]
    if not changes:
        return ""
    fewest = min(range(len(changes)), key=lambda i: len(changes[i]))
    changed = " and ".join(f"the {PARTS[i]} {name_of(texts[i])}" for i in changes[fewest])
    verb = "has" if len(changes[fewest]) == 1 else "have"
    return f"{changed[0].upper()}{changed[1:]} {verb} changed since {earlier[fewest].group()} was trained."


def _any_version(part: str) -> str:
    """Return a pattern of a part of a checkpoint's name, with one group: any hash in place of its own, or nothing."""
    version = VERSION.search(part)
    if version is None:
        return f"{re.escape(part)}()"
    return f"{re.escape(part[: version.start()])}([0-9a-f]{{8}}){re.escape(part[version.end() :])}"
