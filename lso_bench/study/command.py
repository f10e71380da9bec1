"""The command that makes a run again."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace

from lso_bench.record import Record
from lso_bench.spec import Seeds, Spec
from lso_bench.study.grid import Protocol


def commands(specs: Sequence[Spec]) -> list[tuple[str, list[Spec]]]:
    """Commands, each with the runs that it makes: those that differ in nothing but the seed share one."""
    alike: dict[str, list[Spec]] = {}
    for spec in specs:
        same = replace(spec, seeds=Seeds(0, 0)).key if spec.seeds.init == spec.seeds.search else spec.key
        alike.setdefault(same, []).append(spec)
    return [(command(of[0], [s.seeds.init for s in of]), of) for of in alike.values()]


def sped_up(records: Iterable[Record]) -> str:
    """The options by which any of these was made faster, for the end of its command."""
    used = {word for r in records for word in ("compiled", "captured") if r.versions.get(word)}
    return " --compile" * ("compiled" in used) + " --capture" * ("captured" in used)


def command(spec: Spec, seeds: Sequence[int] = ()) -> str:
    """`lso-bench run ...`, for the shell.

    `seeds`: of several runs that differ in nothing else, instead of the spec's own.
    """
    chosen = ",".join(map(str, sorted(seeds or [spec.seeds.init])))
    m, p = spec.model, Protocol()
    given = {
        "model": m.name,
        "task": spec.task,
        "searcher": spec.searcher,
        "starts": ",".join(spec.starts),
        "region": spec.region,
        "decoding": spec.decoding,
        "seed": chosen,
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
    options = [part for k, v in given.items() if v is not None for part in (f"--{k}", str(v))]
    return shlex.join(["lso-bench", "run", *options, *["--joint"] * (spec.joint != p.joint)])


def unrepeatable(spec: Spec) -> str:
    """Why no command makes exactly this run; empty where one does."""
    return "its task or searcher is a file, of which only the hash is known" if spec.source else ""
