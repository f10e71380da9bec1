"""Build the command that repeats a run."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lso_bench.plugins.notation import is_object, short_name
from lso_bench.record import Record
from lso_bench.run_settings import NEUTRAL, RUN_SETTINGS
from lso_bench.search import coordinates
from lso_bench.spec import Seeds, Spec
from lso_bench.vae.trained_model import EXTERNAL


def commands(specs: Sequence[Spec]) -> list[tuple[str, list[Spec]]]:
    """Return commands, each with its runs; runs that differ only in the seed share a command."""
    groups: dict[str, list[Spec]] = {}
    for spec in specs:
        group_key = replace(spec, seeds=Seeds(0, 0)).key if spec.seeds.init == spec.seeds.search else spec.key
        groups.setdefault(group_key, []).append(spec)
    return [(command(group[0], [s.seeds.init for s in group]), group) for group in groups.values()]


def sped_up(records: Iterable[Record]) -> str:
    """Return the options that made any of these runs faster, to append to their command."""
    accelerations = {option for r in records for option in ("compiled", "captured") if r.versions.get(option)}
    return " --compile" * ("compiled" in accelerations) + " --capture" * ("captured" in accelerations)


def command(spec: Spec, seeds: Sequence[int] = ()) -> str:
    """Return `lso-bench run ...`, quoted for the shell.

    Args:
        seeds: seeds of several runs that differ in nothing else, instead of the spec's own seed.
    """
    seed_list = ",".join(map(str, sorted(seeds or [spec.seeds.init])))
    m, changed = spec.model, _changed_settings(spec)
    flags = {option: value for option, value in changed.items() if isinstance(value, bool)}
    options = {
        "--model": m.name,
        "--task": spec.task,
        "--searcher": spec.searcher,
        "--starts": ",".join(spec.starts),
        "--region": spec.region,
        "--decoding": spec.decoding,
        "--seed": seed_list,
        "--search-seed": spec.seeds.search if spec.seeds.search != spec.seeds.init else None,
        "--train-seed": m.seed or None,
        **{option: value for option, value in changed.items() if option not in flags},
        "--arch": m.arch if m.arch not in ("small", EXTERNAL) else None,
        "--latent": m.latent if m.latent != 32 and not m.external else None,
    }
    words = [part for option, value in options.items() if value is not None for part in (option, str(value))]
    switches = [option if value else f"--no-{option[2:]}" for option, value in flags.items()]
    return shlex.join(["lso-bench", "run", *words, *switches])


def _changed_settings(spec: Spec) -> dict[str, Any]:
    """Return the settings that a command must name, by their options; lists as text."""
    descends = bool(spec.thresholds)
    defaults = {s.name: s.default for s in RUN_SETTINGS.values()} | ({} if descends else NEUTRAL)
    defaults["space"] = coordinates.known_default(spec.model)
    values = {name: getattr(spec, name) for name in RUN_SETTINGS if name != "max_steps" or descends}
    return {
        RUN_SETTINGS[k].option: ",".join(map(str, v)) if isinstance(v, tuple) else v
        for k, v in values.items()
        if v != defaults[k]
    }


def objects_of(spec: Spec) -> list[str]:
    """Return the names of the model, the task and the searcher if they are objects of Python, without their hashes."""
    named = {"model": spec.model.name, "task": spec.task, "searcher": spec.searcher}
    return [f"{kind} {short_name(text)}" for kind, text in named.items() if is_object(text)]


def unrepeatable(spec: Spec) -> str:
    """Return why no command repeats exactly this run; empty if one does."""
    if objects := objects_of(spec):
        return f"{' and '.join(objects)} came from Python as an object: no command names it; run the script again"
    if spec.source:
        return "its task or searcher is a file, of which only the hash is known"
    return "its model is a file, of which only the hash is known" if spec.model.external else ""
