"""Controls of a comparison: searchers that a search of latents should beat."""

from lso_bench.plugins.notation import name_of, read
from lso_bench.search import SEARCHERS

CONTROLS = {
    "random": "draws from the prior",
    "screening": "training samples as they are",
    "string_ga": "mutation and crossover of training samples",
    "image_ga": "mutation and crossover of training samples",
}

UNGUIDED = ("random", "screening", "sobol")  # searchers whose points do not depend on scores


def control(searcher: str) -> str:
    """Return what the control of this name and settings does; empty for a searcher that is none."""
    name, settings = read(searcher)
    return "" if settings.get("uniform") == "True" else CONTROLS.get(name, "")


def searches_samples(searcher: str) -> bool:
    """Return whether the points of a built-in searcher are samples; no file of a plugin is executed."""
    name = name_of(searcher)
    return SEARCHERS.is_built_in(name) and SEARCHERS.build(name).space == "samples"
