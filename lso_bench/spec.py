"""Specification of one run, and its key."""

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property

from lso_bench.plugins.notation import name_of
from lso_bench.vae.trained_model import Model

SCHEMA = 2  # version of spec and record; part of every key

THRESHOLDS = (0.05, 0.02, 0.01, 0.005, 0.001, 0.0)  # change of the loss between two checks


@dataclass(frozen=True)
class Seeds:
    """Seeds of a run except the training seed, which belongs to the model."""

    init: int = 0  # seed of random starts
    search: int = 0  # of the searcher


@dataclass(frozen=True)
class Spec:
    """A model, a task, a searcher, a budget and seeds."""

    model: Model
    checkpoint: str  # sha256 of the file with the weights
    task: str  # name, and every setting after a colon
    searcher: str  # likewise
    seeds: Seeds = Seeds()
    decoding: str = "teacher"  # how a latent is decoded: a name of `lso_bench.search.space.DECODINGS`
    region: str = "none"  # region of the search, as `lso_bench.search.region.parse` reads it
    starts: tuple[str, ...] = ("random", "encoder")
    max_steps: int = 300  # of the searcher
    budget: int | None = None  # evaluations a problem; None: only max_steps limits the run
    seconds: float | None = None  # wall-clock limit of the search; None: no limit
    patience: int | None = None  # steps without a better score after which a problem stops; None: never
    check_every: int = 100  # steps between two checks of the change of the loss
    thresholds: tuple[float, ...] = THRESHOLDS  # thresholds of that change; empty: problems do not stop by it
    joint: bool = False  # whether a problem stops only after the mean over its start's problems has converged too
    source: str = ""  # sha256 of task and searcher files given by path

    @cached_property
    def key(self) -> str:
        """Key of the run: 16 hexadecimal digits that differ between any two specs.

        A spec of an older result has the key under which it was stored.
        """
        nested = {"model": _field_values(self.model), "seeds": _field_values(self.seeds)}
        return digest(SCHEMA, _field_values(self) | nested)

    @property
    def title(self) -> str:
        """Text for a reader: `nevae_se · omniglot50 · adam · seed 0`."""
        trained = f" (trained with seed {self.model.seed})" if self.model.seed else ""
        names = (name_of(self.task), name_of(self.searcher))
        return f"{self.model.name}{trained} · {' · '.join(names)} · seed {self.seeds.init}"


def _field_values(part: Spec | Model | Seeds) -> dict:
    """Return the fields like `dataclasses.asdict` for a class without nested classes, in a seventh of the time."""
    return {f.name: getattr(part, f.name) for f in fields(part)}


def digest(schema: int, spec: dict) -> str:
    """Return the key of a spec, passed as its fields, in a schema."""
    canonical = json.dumps([schema, spec], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def spec_from_json(raw: dict) -> Spec:
    """Build a Spec from its JSON form.

    Raises:
        TypeError, KeyError: the form is wrong.
    """
    tuples = {k: tuple(raw[k]) for k in ("starts", "thresholds")}
    return Spec(**{**raw, **tuples, "model": Model(**raw["model"]), "seeds": Seeds(**raw["seeds"])})
