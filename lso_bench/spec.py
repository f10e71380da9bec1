"""Specification of one run, and its key."""

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property

from lso_bench.plugins.notation import name_of
from lso_bench.run_settings import PRIOR, RUN_SETTINGS, TO_ZERO, RunSettings
from lso_bench.vae.trained_model import Model

SCHEMA = 2  # version of spec and record; part of every key

LATER = {s.name: s.omitted for s in RUN_SETTINGS.values() if s.since is None}  # left out of a key at this value


@dataclass(frozen=True)
class Seeds:
    """Seeds of a run except the training seed, which belongs to the model."""

    init: int = 0  # seed of random starts
    search: int = 0  # of the searcher


@dataclass(frozen=True)
class Setup:
    """Model, task, searcher and seeds of a run, and where it searches."""

    model: Model
    checkpoint: str  # sha256 of the file with the weights
    task: str  # name, and every setting after a colon
    searcher: str  # likewise
    seeds: Seeds = Seeds()
    decoding: str = "teacher"  # how a latent is decoded: a name of `lso_bench.search.space.DECODINGS`
    region: str = "none"  # region of the search, as `lso_bench.search.region.parse` reads it
    starts: tuple[str, ...] = ("random", "encoder")


@dataclass(frozen=True)
class Spec(RunSettings, Setup):  # dataclasses put the fields of the last base first
    """A run: a setup, and settings of which none is left to decide."""

    max_steps: int = 1000  # of the searcher
    thresholds: tuple[float, ...] = TO_ZERO
    space: str = PRIOR  # coordinates of the search, as `lso_bench.search.coordinates.parse` reads them
    source: str = ""  # sha256 of task and searcher files given by path

    @cached_property
    def key(self) -> str:
        """Key of the run: 16 hexadecimal digits that differ between any two specs.

        A spec of an older result has the key under which it was stored.
        """
        nested = {"model": _field_values(self.model), "seeds": _field_values(self.seeds)}
        return digest(SCHEMA, _field_values(self) | nested)

    @property
    def task_name(self) -> str:
        """Name of the task without its settings."""
        return name_of(self.task)

    @property
    def searcher_name(self) -> str:
        """Name of the searcher without its settings."""
        return name_of(self.searcher)

    @property
    def title(self) -> str:
        """Text for a reader: `nevae_se · omniglot50 · adam · seed 0`, with the coordinates if they are not z."""
        trained = f" (trained with seed {self.model.seed})" if self.model.seed else ""
        searcher = self.searcher_name + f" · space {self.space}" * (self.space != PRIOR)
        return f"{self.model.name}{trained} · {self.task_name} · {searcher} · seed {self.seeds.init}"


def _field_values(part: Spec | Model | Seeds) -> dict:
    """Return the fields like `dataclasses.asdict` for a class without nested classes, in a seventh of the time."""
    return {f.name: getattr(part, f.name) for f in fields(part)}


def digest(schema: int, spec: dict) -> str:
    """Return the key of a spec, passed as its fields, in a schema. A setting that is added changes no key."""
    hashed = {k: v for k, v in spec.items() if k not in LATER or v != LATER[k]}
    canonical = json.dumps([schema, hashed], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def spec_from_json(raw: dict) -> Spec:
    """Build a Spec from its JSON form.

    Raises:
        TypeError, KeyError: the form is wrong.
    """
    tuples = {k: tuple(v) for k, v in raw.items() if isinstance(v, list)}
    return Spec(**{**raw, **tuples, "model": Model(**raw["model"]), "seeds": Seeds(**raw["seeds"])})
