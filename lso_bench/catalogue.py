"""What `lso-bench list` shows."""

from collections.abc import Callable

from lso_bench import plugins
from vae import data, zoo
from vae.discovery import published


def models() -> dict[str, str]:
    """Every model by name, what it minimises, and the data sets that a checkpoint is there for."""
    listed = {n: (zoo.objective(n).__doc__ or "").strip().split("\n")[0] for n in zoo.NAMES}
    offered = {n: f"from {e.value}" for n, e in published(zoo.GROUP).items() if n not in listed}
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


CATALOGUES: dict[str, Callable[[], dict[str, str]]] = {
    "models": models,
    "data": data.names,
    "tasks": lambda: plugins.names("task"),
    "searchers": lambda: plugins.names("searcher"),
}
