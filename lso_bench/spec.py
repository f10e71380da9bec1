"""What one run is, and its key."""

import hashlib
import json
from dataclasses import dataclass, fields
from functools import cached_property

from lso_bench.vae.notation import name_of
from lso_bench.vae.zoo import Model

SCHEMA = 2  # of spec and record; part of every key

THRESHOLDS = (0.05, 0.02, 0.01, 0.005, 0.001, 0.0)  # change of the loss between two checks


@dataclass(frozen=True)
class Seeds:
    """The sources of chance beside the training seed, which belongs to the model."""

    init: int = 0  # of random starts
    search: int = 0  # of the searcher


@dataclass(frozen=True)
class Spec:
    """A model, a task, a searcher, a budget and seeds."""

    model: Model
    checkpoint: str  # sha256 of the file with the weights
    task: str  # name, and every setting after a colon
    searcher: str  # likewise
    seeds: Seeds = Seeds()
    decoding: str = "teacher"  # how an image comes from a code: a name of `lso_bench.search.space.DECODINGS`
    region: str = "none"  # where to look, as `lso_bench.search.region.parse` reads it
    starts: tuple[str, ...] = ("random", "encoder")
    max_steps: int = 300  # of the searcher
    budget: int | None = None  # evaluations a problem; None: max_steps alone bounds the run
    seconds: float | None = None  # of the search, on the clock of the machine; None: no limit
    patience: int | None = None  # steps without a better score after which a problem leaves; None: it does not
    check_every: int = 100  # steps between two looks at the change of the loss
    thresholds: tuple[float, ...] = THRESHOLDS  # of that change; none: a problem does not leave for it
    joint: bool = False  # whether a problem leaves only when the mean over its start's problems has converged too
    source: str = ""  # sha256 of task and searcher files that were given by path

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that differ between any two specs; of an older result, those that it was stored by."""
        return digest(SCHEMA, _values(self) | {"model": _values(self.model), "seeds": _values(self.seeds)})

    @property
    def title(self) -> str:
        """For a person to read: `nevae_se · omniglot50 · adam · seed 0`."""
        trained = f" (trained with seed {self.model.seed})" if self.model.seed else ""
        names = (name_of(self.task), name_of(self.searcher))
        return f"{self.model.name}{trained} · {' · '.join(names)} · seed {self.seeds.init}"


def _values(part: Spec | Model | Seeds) -> dict:
    """Its fields, as `dataclasses.asdict` gives them of one without parts, in a seventh of the time."""
    return {f.name: getattr(part, f.name) for f in fields(part)}


def digest(schema: int, spec: dict) -> str:
    """The key of a spec, given by its fields, in a schema."""
    canonical = json.dumps([schema, spec], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def spec_from_json(raw: dict) -> Spec:
    """A Spec from its JSON form.

    Raises:
        TypeError, KeyError: not that form.
    """
    tuples = {k: tuple(raw[k]) for k in ("starts", "thresholds")}
    return Spec(**{**raw, **tuples, "model": Model(**raw["model"]), "seeds": Seeds(**raw["seeds"])})
