"""What `lso-bench list` shows."""

from collections.abc import Callable
from dataclasses import dataclass

from lso_bench.plugins import registry
from lso_bench.vae import data, zoo
from lso_bench.vae.discovery import first_line


def models() -> dict[str, str]:
    """Every model by name, what it minimises, and the data sets that a checkpoint is there for."""
    listed = {n: first_line(type(zoo.objective(n))) for n in zoo.NAMES}
    offered = {n: f"from {e.value}" for n, e in zoo.offered().items()}
    return {n: f"{what} {_trained(n)}" for n, what in (listed | offered).items()}


def _trained(name: str) -> str:
    files = {
        p.name
        for folder in (zoo.own_folder(), zoo.SHIPPED)
        for p in folder.glob("*.safetensors")
        if ".state." not in p.name
    }
    own = [f.split("-")[0] for f in sorted(files) if f"-small-d32-{name}-s0." in f]
    return f"(checkpoints: {', '.join(dict.fromkeys(own))})" if own else "(no checkpoint yet)"


@dataclass(frozen=True)
class Catalogue:
    """A kind of thing that there is."""

    names: Callable[[], dict[str, str]]  # each with what it is
    faults: Callable[[], dict[str, str]]  # what cannot be used, and why


CATALOGUES = {
    "models": Catalogue(models, zoo.faults),
    "data": Catalogue(data.names, data.faults),
    "tasks": Catalogue(lambda: registry.names("task"), lambda: registry.broken_plugins("task")),
    "searchers": Catalogue(lambda: registry.names("searcher"), lambda: registry.broken_plugins("searcher")),
}
