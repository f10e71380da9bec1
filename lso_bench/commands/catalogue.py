"""Contents of the lists that `lso-bench list` shows."""

from lso_bench.files.paths import own_folder
from lso_bench.search import SEARCHERS
from lso_bench.task import TASKS
from lso_bench.vae.architectures import ARCHITECTURES
from lso_bench.vae.datasets import DATASETS
from lso_bench.vae.objectives import OBJECTIVES
from lso_bench.vae.trained_model import SHIPPED


def models() -> dict[str, str]:
    """Return a description of every model by name: what it minimises, and the data sets with a checkpoint."""
    return {n: f"{text.partition(chr(10))[0]} {_trained(n)}" for n, text in OBJECTIVES.names().items()}


def _trained(name: str) -> str:
    files = {
        p.name for folder in (own_folder(), SHIPPED) for p in folder.glob("*.safetensors") if ".state." not in p.name
    }
    data_sets = [f.split("-")[0] for f in sorted(files) if f"-small-d32-{name}-s0." in f]
    return f"(checkpoints: {', '.join(dict.fromkeys(data_sets))})" if data_sets else "(no checkpoint yet)"


REGISTRIES = {
    "models": OBJECTIVES,
    "data": DATASETS,
    "tasks": TASKS,
    "searchers": SEARCHERS,
    "architectures": ARCHITECTURES,
}


def descriptions(kind: str) -> dict[str, str]:
    """Return what `lso-bench list KIND` shows, by name."""
    return models() if kind == "models" else REGISTRIES[kind].names()
