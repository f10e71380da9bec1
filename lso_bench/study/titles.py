"""Texts that tell the runs of a plan apart."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from lso_bench.run_settings import RUN_SETTINGS, region_text
from lso_bench.spec import Spec

LIMITS = ("max_steps", "budget")  # settings of which each text has one
VARYING: list[Callable[[Spec], str]] = [  # parts that texts have only where runs of one task and searcher differ in it
    lambda s: s.task,
    lambda s: s.searcher,
    lambda s: f"starts {','.join(s.starts)}",
    lambda s: f"decoding {s.decoding}",
    lambda s: f"thresholds {','.join(f'{t:g}' for t in s.thresholds)}",
    lambda s: f"search seed {s.seeds.search}" if s.seeds.search != s.seeds.init else "",
]


def titles(specs: Iterable[Spec]) -> dict[str, str]:
    """Return a text by key: the run's title, region and limit, settings that are not the default, and what varies.

    `nevae_se · omniglot50 · cmaes · seed 0 · box:3 · 80 ev.`
    """
    groups: dict[tuple, list[Spec]] = {}
    for s in specs:
        groups.setdefault((s.task_name, s.searcher_name, s.model.external), []).append(s)
    varying = {g: [part for part in VARYING if len({part(s) for s in runs}) > 1] for g, runs in groups.items()}
    return {s.key: _text(s, varying[group]) for group, runs in groups.items() for s in runs}


def short_titles(specs: Iterable[Spec]) -> dict[str, str]:
    """Return a text by key: the run's title alone if no two runs share it, else the text of `titles`."""
    runs = [*specs]
    counts, full = Counter(s.title for s in runs), titles(runs)
    return {s.key: s.title if counts[s.title] == 1 else full[s.key] for s in runs}


def _text(spec: Spec, varying: Iterable[Callable[[Spec], str]]) -> str:
    limit = RUN_SETTINGS["budget" if spec.budget else "max_steps"]
    known: list[tuple[Any, Any]] = [(s, getattr(spec, s.name)) for s in RUN_SETTINGS.values()]
    settings = [s.label(v) for s, v in known if s.in_tables and s.name not in (*LIMITS, "space") and v != s.default]
    parts = [
        spec.title,
        region_text(spec.region),
        limit.label(getattr(spec, limit.name)),
        *settings,
        *(part(spec) for part in varying),
    ]
    return " · ".join(filter(None, parts))
