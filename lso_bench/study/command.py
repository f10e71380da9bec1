"""Build the command that repeats a run."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lso_bench.record import Record
from lso_bench.spec import Seeds, Spec
from lso_bench.study.grid import Protocol


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
    m, p = spec.model, Protocol()
    settings = {
        "model": m.name,
        "task": spec.task,
        "searcher": spec.searcher,
        "starts": ",".join(spec.starts),
        "region": spec.region,
        "decoding": spec.decoding,
        "seed": seed_list,
        "search-seed": spec.seeds.search if spec.seeds.search != spec.seeds.init else None,
        "train-seed": m.seed or None,
        "max-steps": spec.max_steps if spec.thresholds else None,
        "budget": spec.budget,
        "seconds": spec.seconds,
        "patience": spec.patience,
        "check-every": spec.check_every if spec.check_every != p.check_every else None,
        "thresholds": ",".join(map(repr, spec.thresholds)) if spec.thresholds not in ((), p.thresholds) else None,
        "arch": m.arch if m.arch != "small" else None,
        "latent": m.latent if m.latent != 32 else None,
    }
    options = [part for k, v in settings.items() if v is not None for part in (f"--{k}", str(v))]
    return shlex.join(["lso-bench", "run", *options, *["--joint"] * (spec.joint != p.joint)])


def unrepeatable(spec: Spec) -> str:
    """Return why no command repeats exactly this run; empty if one does."""
    return "its task or searcher is a file, of which only the hash is known" if spec.source else ""
