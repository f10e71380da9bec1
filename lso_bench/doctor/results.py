"""Check results folders: hashes of every run, interrupted and duplicate runs, newer schemas, and foreign files."""

import errno
import hashlib
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lso_bench.doctor.finding import Finding
from lso_bench.errors import UnusableError
from lso_bench.runner.identity import contradiction
from lso_bench.spec import SCHEMA
from lso_bench.store import result_files
from lso_bench.store.archive import open_results
from lso_bench.store.results_folder import STALE, is_foreign
from lso_bench.store.schema import spec_of
from lso_bench.store.store import Store

ALLOWED_NAMES = ("figures",)  # names that may stand in a results folder which runs were written to
SHOWN = 3  # examples of each fault; further ones are counted

CLOSED = "closed to this user"
MENDS = {
    CLOSED: "ask for the right to read these folders (chmod u+rX)",
    "damaged": "delete these folders and run the same command again",
    "incomplete": "delete these folders and run the same command again",
    "misplaced": "give each folder back the name that its spec has, or delete it and run again",
    "foreign": "move these away; nothing reads them",
    "of a newer schema": "update lso-bench: pip install --upgrade lso-bench",
}
LOSSES = ("damaged", "incomplete")  # kinds in which a run, or a part of it, is lost
HARMLESS = ("foreign", "of a newer schema")  # kinds in which nothing is lost


class Fault(NamedTuple):
    """A fault of one run."""

    kind: str  # a key of MENDS
    where: str
    why: str


def findings(folders: Sequence[Path]) -> Iterator[Finding]:
    """Yield the findings about each folder or archive, then about all together."""
    keys: Counter[str] = Counter()
    for folder in folders:
        try:
            store = open_results(folder)
        except UnusableError as error:
            yield Finding("results", "unusable", str(error), "give a folder that `lso-bench run` wrote, or an archive")
            continue
        for line in store.remarks:
            yield Finding("results", "warning", line, "nothing, it is done")
        keys.update({run.name for run in store.folder.glob("runs/*/*")})
        yield from _folder_findings(folder, store)
    if duplicates := [key for key, n in keys.items() if n > 1]:
        what = f"{len(duplicates)} runs stand in several of these folders ({', '.join(sorted(duplicates)[:SHOWN])})"
        yield Finding("results", "warning", what, "nothing; compare counts each once, as it is in the first")


def faults(store: Store) -> list[Fault]:
    """Return the faults of the runs of a store, at most one per run."""
    run_faults = [f for run in sorted(store.folder.glob("runs/*/*")) if (f := _run_fault(run))]
    damaged_names = {f.where for f in run_faults}
    for _ in store:  # read every run, as the command compare does
        pass
    unreadable = [
        Fault(_kind_of_message(line), line.partition(": ")[0], line.partition(": ")[2]) for line in store.skipped
    ]
    return run_faults + [f for f in unreadable if Path(f.where).name not in damaged_names]


def _kind_of_message(line: str) -> str:
    return CLOSED if os.strerror(errno.EACCES) in line else "damaged"


def _folder_findings(folder: Path, store: Store) -> Iterator[Finding]:
    all_faults = faults(store)
    count = sum(1 for _ in store.folder.glob("runs/*/*"))
    yield Finding("results", "ok", f"{folder}: {count - len(all_faults)} of {count} runs are whole")
    for kind in MENDS:
        if group := [f for f in all_faults if f.kind == kind]:
            examples = "; ".join(f"{f.where}: {f.why}" for f in group[:SHOWN]) + "; ..." * (len(group) > SHOWN)
            state = "warning" if kind in HARMLESS else "unusable"
            yield Finding("results", state, f"{folder}: {len(group)} of its runs {kind} ({examples})", MENDS[kind])
    if unexpected := [p.name for p in sorted(store.folder.iterdir()) if is_foreign(p) and p.name not in ALLOWED_NAMES]:
        yield Finding(
            "results", "warning", f"{folder} holds what is not ours: {', '.join(unexpected[:SHOWN])}", MENDS["foreign"]
        )
    if stale := [p.name for p in store.folder.glob("tmp/*") if time.time() - p.lstat().st_mtime > STALE]:
        what = f"{folder}: {len(stale)} runs were broken off long ago ({', '.join(stale[:SHOWN])})"
        yield Finding("results", "warning", what, f"lso-bench run --results {shlex.quote(str(folder))} sweeps them")


def _run_fault(run: Path) -> Fault | None:
    try:
        if not (run / "result.json").is_file():
            return Fault("incomplete" if run.is_dir() else "foreign", run.name, "no result.json")
        raw = result_files.result(run)
        if raw["schema"] > SCHEMA:
            return Fault("of a newer schema", run.name, f"{raw['schema']}, wanted {SCHEMA}")
        return _content_fault(run, raw)
    except PermissionError as error:
        return Fault(CLOSED, run.name, str(error.strerror))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Fault("damaged", run.name, f"{type(error).__name__}: {error}")


def _content_fault(run: Path, raw: dict[str, Any]) -> Fault | None:
    """Return the first difference between a run's files and its result.json."""
    hashes: dict[str, str] = raw["sha256"]
    present = {p.name for p in run.iterdir()} - {"result.json"}
    if missing := hashes.keys() - present:
        return Fault("incomplete", run.name, f"no {min(missing)}")
    for name, digest in hashes.items():
        if hashlib.sha256(result_files.content(run / name)).hexdigest() != digest:
            return Fault("damaged", run.name, f"{name} does not match its sha256")
    spec = spec_of(raw)
    if spec.key != run.name:
        return Fault("misplaced", run.name, f"its spec has the key {spec.key}")
    if why := contradiction(spec, raw["versions"]):
        return Fault("damaged", run.name, why)
    if surplus := present - hashes.keys():
        return Fault("foreign", run.name, f"{min(surplus)} in it")
    return None
