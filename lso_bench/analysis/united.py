"""Models from outside beside trained ones: runs of several architectures in one section of a comparison."""

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import pandas as pd

from lso_bench.record import Record
from lso_bench.search import coordinates
from lso_bench.spec import Spec
from lso_bench.vae.trained_model import Model

SEVERAL = "several"  # architecture of a section of several; each model's name says its own
BY_MODEL = "by model"  # coordinates of searches in models that have several defaults
NO_LATENT = 0  # latent dimensions of such a section in its keys; nothing shows this number


@dataclass(frozen=True)
class UnitedModel(Model):
    """A model in a section of several architectures, under the name that it has there."""

    original: Model = field(default_factory=lambda: Model("", ""))

    @property
    def external(self) -> bool:
        return self.original.external


def original(model: Model) -> Model:
    """Return the model as its runs name it, with its own architecture and latent dimensions."""
    return model.original if isinstance(model, UnitedModel) else model


def united(records: Iterable[Record]) -> list[Record]:
    """Return the records, with united architectures where a model from outside is among the runs of a task.

    Only runs that decode alike are united: a decoder that sees the target's pixels has other losses. The records keep
    their keys.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for r in records:
        groups.setdefault((r.spec.task, r.spec.decoding), []).append(r)
    return [r for runs in groups.values() for r in _united_group(runs)]


def _united_group(runs: list[Record]) -> list[Record]:
    models = [*dict.fromkeys(r.spec.model for r in runs)]
    if not any(m.external for m in models) or len({(m.arch, m.latent) for m in models}) < 2:
        return runs
    labels = {m: UnitedModel(_label(m, models), m.data, SEVERAL, NO_LATENT, m.seed, m) for m in models}
    spaces = [{r.spec.space for r in runs if r.spec.model == m} for m in models]
    comparable = bool(set.intersection(*spaces))  # all were searched in the same coordinates, too
    return [_relabelled(r, labels[r.spec.model], comparable) for r in runs]


def _label(model: Model, models: Sequence[Model]) -> str:
    """Return the name of a model with its architecture, and its dimensions if ours have several."""
    if model.external:
        return model.name
    several = len({m.latent for m in models if not m.external}) > 1
    return f"{model.name} ({model.arch}{f', d = {model.latent}' if several else ''})"


def _relabelled(record: Record, model: Model, comparable: bool) -> Record:
    """Return a record with another model, and with BY_MODEL for the coordinates that its own model has by default.

    If models are comparable in the same coordinates, these keep their name. A model that is not here any more counts as
    searched in its default.
    """
    spec, space = copy(record.spec), record.spec.space
    key = spec.key
    object.__setattr__(spec, "model", model)
    if not comparable and space == (coordinates.known_default(record.spec.model) or space):
        object.__setattr__(spec, "space", BY_MODEL)
        object.__setattr__(spec, "searched_space", space)
    object.__setattr__(spec, "key", key)  # that of the run's files
    return replace(record, spec=spec)


def searched_space(spec: Spec) -> str:
    """Return the coordinates of a search, also where the record of a united model has BY_MODEL for them."""
    return vars(spec).get("searched_space", spec.space)


def space_name(arch: str, latent: object, equals: str = " = ") -> str:
    """Return the text for the architecture and dimensions of a section."""
    return f"{SEVERAL} architectures" if arch == SEVERAL else f"{arch}, d{equals}{latent}"


def with_known_dimensions(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of measures or runs; its column `latent` is empty where models of several sizes share a row."""
    if not {"arch", "latent"} <= {*table.columns} or not (several := table.arch == SEVERAL).any():
        return table
    return table.assign(latent=table.latent.astype("Int64").mask(several))
