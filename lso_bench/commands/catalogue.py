"""Contents of the lists that `lso-bench list` shows."""

from collections.abc import Callable
from dataclasses import dataclass

from lso_bench.plugins import registry
from lso_bench.plugins.discovery import first_line
from lso_bench.vae import data, zoo


def models() -> dict[str, str]:
    """Return a description of every model by name: what it minimises, and the data sets with a checkpoint."""
    listed = {n: first_line(type(zoo.objective(n))) for n in zoo.NAMES}
    offered = {n: f"from {e.value}" for n, e in zoo.offered().items()}
    return {n: f"{description} {_trained(n)}" for n, description in (listed | offered).items()}


def _trained(name: str) -> str:
    files = {
        p.name
        for folder in (zoo.own_folder(), zoo.SHIPPED)
        for p in folder.glob("*.safetensors")
        if ".state." not in p.name
    }
    data_sets = [f.split("-")[0] for f in sorted(files) if f"-small-d32-{name}-s0." in f]
    return f"(checkpoints: {', '.join(dict.fromkeys(data_sets))})" if data_sets else "(no checkpoint yet)"


@dataclass(frozen=True)
class Catalogue:
    """List of one kind of plugin or model."""

    names: Callable[[], dict[str, str]]  # descriptions by name
    faults: Callable[[], dict[str, str]]  # reasons by the name of what cannot be used


CATALOGUES = {
    "models": Catalogue(models, zoo.faults),
    "data": Catalogue(data.names, data.faults),
    "tasks": Catalogue(lambda: registry.names("task"), lambda: registry.broken_plugins("task")),
    "searchers": Catalogue(lambda: registry.names("searcher"), lambda: registry.broken_plugins("searcher")),
}
