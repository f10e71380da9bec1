"""Names of measured latent spaces: trainings of one model are told apart."""

from collections.abc import Callable, Sequence

from lso_bench.analysis.united import space_name
from lso_bench.models.measurements import Measured

DISTINCTIONS: tuple[Callable[[Measured], str], ...] = (  # settings of a model, the ones that are named first
    lambda m: m.model.data,
    lambda m: space_name(m.model.arch, m.model.latent),
    lambda m: f"training seed {m.model.seed}",
    lambda m: f"weights {m.inputs['checkpoint'][:8]}",
)


def names(measured: Sequence[Measured]) -> list[str]:
    """Return the name of each model, in brackets what tells it from its namesakes: its training, or its weights."""
    return [" ".join([m.model.name, *_distinction(m, measured)]) for m in measured]


def _distinction(measured: Measured, among: Sequence[Measured]) -> list[str]:
    """Return in brackets the first settings in which a model differs from its namesakes; nothing if it has none."""
    namesakes = [m for m in among if m.model.name == measured.model.name]
    chosen: list[Callable[[Measured], str]] = []
    for setting in DISTINCTIONS:
        if len({setting(m) for m in namesakes}) > 1 and len({_settings(m, chosen) for m in namesakes}) < len(namesakes):
            chosen.append(setting)
    return [f"({', '.join(_settings(measured, chosen))})"] * bool(chosen)


def _settings(measured: Measured, chosen: Sequence[Callable[[Measured], str]]) -> tuple[str, ...]:
    return tuple(setting(measured) for setting in chosen)


def bars(measured: Sequence[Measured]) -> list[tuple[str, list[float]]]:
    """Return the name of each model, and its activity."""
    return [(name, m.metrics.activity) for name, m in zip(names(measured), measured, strict=True)]
