"""Benchmarks of latent space optimization: how well is the latent space of a frozen generative model searched?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lso_bench.api.evaluation import evaluate
    from lso_bench.api.latent_space import space
    from lso_bench.api.module_pair import model
    from lso_bench.api.results import Results, load
    from lso_bench.api.study import Study
    from lso_bench.molecules.guacamol import guacamol_scorer
    from lso_bench.molecules.properties import molecule_property
    from lso_bench.search import Problem, Searcher
    from lso_bench.search.ask_tell import AskTell
    from lso_bench.search.space import Space
    from lso_bench.task import Task
    from lso_bench.task.molecule_task import MoleculeTask
    from lso_bench.task.text_task import TextTask
    from lso_bench.vae.ehrlich_function import EhrlichFunction
    from lso_bench.vae.expression_values import expression_scores
    from lso_bench.vae.frozen_models import FrozenModel, FrozenTextModel
    from lso_bench.vae.judges import classifier, density

__version__ = "0.1.0"
__all__ = [
    "AskTell",
    "EhrlichFunction",
    "FrozenModel",
    "FrozenTextModel",
    "MoleculeTask",
    "Problem",
    "Results",
    "Searcher",
    "Space",
    "Study",
    "Task",
    "TextTask",
    "classifier",
    "density",
    "evaluate",
    "expression_scores",
    "guacamol_scorer",
    "load",
    "model",
    "molecule_property",
    "space",
]

_HOMES = {
    "AskTell": "lso_bench.search.ask_tell",
    "EhrlichFunction": "lso_bench.vae.ehrlich_function",
    "FrozenModel": "lso_bench.vae.frozen_models",
    "FrozenTextModel": "lso_bench.vae.frozen_models",
    "MoleculeTask": "lso_bench.task.molecule_task",
    "Problem": "lso_bench.search",
    "Results": "lso_bench.api.results",
    "Searcher": "lso_bench.search",
    "Space": "lso_bench.search.space",
    "Study": "lso_bench.api.study",
    "Task": "lso_bench.task",
    "TextTask": "lso_bench.task.text_task",
    "classifier": "lso_bench.vae.judges",
    "density": "lso_bench.vae.judges",
    "evaluate": "lso_bench.api.evaluation",
    "expression_scores": "lso_bench.vae.expression_values",
    "guacamol_scorer": "lso_bench.molecules.guacamol",
    "load": "lso_bench.api.results",
    "model": "lso_bench.api.module_pair",
    "molecule_property": "lso_bench.molecules.properties",
    "space": "lso_bench.api.latent_space",
}


def __getattr__(name: str) -> Any:
    """Import the public names on first use, because the help of the command line must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
