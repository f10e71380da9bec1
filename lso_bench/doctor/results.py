"""Whether results folders are whole: every run against its hashes, what is broken off, double, of a newer schema, or
nobody's.
"""

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
from lso_bench.plugins.identity import contradiction
from lso_bench.spec import SCHEMA
from lso_bench.store import safe_read
from lso_bench.store.archive import open_results
from lso_bench.store.old_schemas import spec_of
from lso_bench.store.store import EXPECTED_NAMES, STALE, Store
from lso_bench.vae.errors import UnusableError as VaeUnusableError

OUTPUTS = EXPECTED_NAMES | {"figures"}  # what may stand in a results folder
NAMED = 3  # runs of one fault; the others are counted

CLOSED = "closed to this user"
MENDS = {
    CLOSED: "ask for the right to read these folders (chmod u+rX)",
    "damaged": "delete these folders and run the same command again",
    "incomplete": "delete these folders and run the same command again",
    "misplaced": "give each folder back the name that its spec has, or delete it and run again",
    "foreign": "move these away; nothing reads them",
    "of a newer schema": "update lso-bench: pip install --upgrade lso-bench",
}
LOST = ("damaged", "incomplete")  # of these a run, or a part of it, is lost
USABLE = ("foreign", "of a newer schema")  # nothing is lost by these


class Fault(NamedTuple):
    """What is wrong with one run."""

    kind: str  # of MENDS
    where: str
    why: str


def findings(folders: Sequence[Path]) -> Iterator[Finding]:
    """What is to be said of each folder or archive, then of all together."""
    keys: Counter[str] = Counter()
    for folder in folders:
        try:
            store = open_results(folder)
        except (UnusableError, VaeUnusableError) as error:
            yield Finding("results", "unusable", str(error), "give a folder that `lso-bench run` wrote, or an archive")
            continue
        for line in store.remarks:
            yield Finding("results", "warning", line, "nothing, it is done")
        keys.update({run.name for run in store.folder.glob("runs/*/*")})
        yield from _of_folder(folder, store)
    if double := [key for key, n in keys.items() if n > 1]:
        what = f"{len(double)} runs stand in several of these folders ({', '.join(sorted(double)[:NAMED])})"
        yield Finding("results", "warning", what, "nothing; compare counts each once, as it is in the first")


def faults(store: Store) -> list[Fault]:
    """What is wrong with the runs of a store, one fault a run."""
    found = [f for run in sorted(store.folder.glob("runs/*/*")) if (f := _fault(run))]
    named = {f.where for f in found}
    for _ in store:  # reads every run as compare does
        pass
    unread = [Fault(_kind(line), line.partition(": ")[0], line.partition(": ")[2]) for line in store.skipped]
    return found + [f for f in unread if Path(f.where).name not in named]


def _kind(line: str) -> str:
    return CLOSED if os.strerror(errno.EACCES) in line else "damaged"


def _of_folder(folder: Path, store: Store) -> Iterator[Finding]:
    found = faults(store)
    count = sum(1 for _ in store.folder.glob("runs/*/*"))
    yield Finding("results", "ok", f"{folder}: {count - len(found)} of {count} runs are whole")
    for kind in MENDS:
        if own := [f for f in found if f.kind == kind]:
            named = "; ".join(f"{f.where}: {f.why}" for f in own[:NAMED]) + "; ..." * (len(own) > NAMED)
            state = "warning" if kind in USABLE else "unusable"
            yield Finding("results", state, f"{folder}: {len(own)} of its runs {kind} ({named})", MENDS[kind])
    if odd := [p.name for p in sorted(store.folder.iterdir()) if p.name not in OUTPUTS and p.name[:1] != "."]:
        yield Finding(
            "results", "warning", f"{folder} holds what is not ours: {', '.join(odd[:NAMED])}", MENDS["foreign"]
        )
    if stale := [p.name for p in store.folder.glob("tmp/*") if time.time() - p.lstat().st_mtime > STALE]:
        what = f"{folder}: {len(stale)} runs were broken off long ago ({', '.join(stale[:NAMED])})"
        yield Finding("results", "warning", what, f"lso-bench run --results {shlex.quote(str(folder))} sweeps them")


def _fault(run: Path) -> Fault | None:
    try:
        if not (run / "result.json").is_file():
            return Fault("incomplete" if run.is_dir() else "foreign", run.name, "no result.json")
        raw = safe_read.result(run)
        if raw["schema"] > SCHEMA:
            return Fault("of a newer schema", run.name, f"{raw['schema']}, wanted {SCHEMA}")
        return _unlike(run, raw)
    except PermissionError as error:
        return Fault(CLOSED, run.name, str(error.strerror))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Fault("damaged", run.name, f"{type(error).__name__}: {error}")


def _unlike(run: Path, raw: dict[str, Any]) -> Fault | None:
    """What of its files differs from what its result.json says."""
    known: dict[str, str] = raw["sha256"]
    there = {p.name for p in run.iterdir()} - {"result.json"}
    if missing := known.keys() - there:
        return Fault("incomplete", run.name, f"no {min(missing)}")
    for name, digest in known.items():
        if hashlib.sha256(safe_read.content(run / name)).hexdigest() != digest:
            return Fault("damaged", run.name, f"{name} does not match its sha256")
    spec = spec_of(raw)
    if spec.key != run.name:
        return Fault("misplaced", run.name, f"its spec has the key {spec.key}")
    if why := contradiction(spec, raw["versions"]):
        return Fault("damaged", run.name, why)
    if more := there - known.keys():
        return Fault("foreign", run.name, f"{min(more)} in it")
    return None
