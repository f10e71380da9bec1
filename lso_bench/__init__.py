"""Benchmarks of latent space optimization: how well is the latent space of a frozen generative model searched?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lso_bench.search import Problem, Searcher
    from lso_bench.search.space import Space
    from lso_bench.task import Task
    from lso_bench.vae.judges import classifier, density

__version__ = "0.1.0"
__all__ = ["Problem", "Searcher", "Space", "Task", "classifier", "density"]

_HOMES = {
    "Problem": "lso_bench.search",
    "Searcher": "lso_bench.search",
    "Space": "lso_bench.search.space",
    "Task": "lso_bench.task",
    "classifier": "lso_bench.vae.judges",
    "density": "lso_bench.vae.judges",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, because the help of the command line must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
