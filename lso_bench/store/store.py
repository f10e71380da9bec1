"""Records on disk: a folder a run, which appears complete or not at all and is never changed afterwards.

A kill at any moment leaves no half run, and of two writers of the same run the first wins, without locks: see
`lso_bench.store.run_folder`. Whatever is written was read back before, so that it can be read again.
"""

import hashlib
import io
import json
import math
import os
import shutil
import socket
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from safetensors.torch import save
from torch import Tensor

from lso_bench.errors import DamagedError, PluginError, UnusableError
from lso_bench.record import Record
from lso_bench.spec import SCHEMA, Spec, digest
from lso_bench.store import safe_read
from lso_bench.store.old_schemas import costs_of
from lso_bench.store.run_folder import KEY, MEND, RESULT, RETRYABLE, Standing, judge, publish, read, recover, sync
from lso_bench.store.schema import PLAIN, record_from
from lso_bench.text import storable
from lso_bench.vae.durable import reason
from lso_bench.vae.tensors import tensors_of

MARKER_FILE = "lso-bench.json"  # makes a folder a results folder
STALE = 24 * 3600  # seconds after which work in progress is swept
WAITS = "waits"  # part of the name of a folder in tmp/ that holds a good run, whose place was not free

T = TypeVar("T")


class Store:
    """The runs of one results folder.

    Args:
        folder: made if missing; a folder with other things in it is refused.
        readonly: must be there, and nothing is written.
    """

    def __init__(self, folder: Path, readonly: bool = False):
        self.folder = folder
        self.skipped: list[str] = []  # what the last reading could not use, a line each
        self.remarks: list[str] = []  # what was made anew to read it, a line each
        self.damaged_files: dict[str, str] = {}  # files of runs that were asked for and are not whole, with a line each
        if readonly:
            self._check()
        else:
            self._make()

    def __contains__(self, spec: Spec) -> bool:
        """Whether it is done; a run that failed is not, and may be tried again."""
        return self.judge(spec).state == "done"

    def place(self, spec: Spec) -> Path:
        """The run's folder, which need not be there."""
        return self._at(spec.key)

    def judge(self, spec: Spec) -> Standing:
        """The state of a run here: absent, done, to be tried again, or damaged; with its record."""
        return judge(self.place(spec))

    def __iter__(self) -> Iterator[Record]:
        """Every run, without trace and tensors; what is not readable is named in `skipped`."""
        self.skipped = []
        for name in sorted(self.fingerprints()):
            try:
                yield self.read(name)
            except ValueError as error:
                self.skipped.append(str(error))

    def fingerprints(self) -> dict[str, str]:
        """Of everything that stands among the runs (`ab/abcdef0123456789`), what changes whenever its result does."""
        runs = self.folder / "runs"
        found = [e.path for two in _inside(runs) for e in _runs_in(two)]
        return {path[len(f"{runs}/") :]: _stamp(path) for path in found}

    def read(self, name: str) -> Record:
        """The run that stands there, without trace and tensors.

        Raises:
            ValueError: it is not readable; says where and why.
        """
        return read(self.folder / "runs" / name)

    def unfinished(self) -> list[str]:
        """Keys of the runs that are being made, or were broken off."""
        with suppress(PermissionError):
            names = {work.name.partition(".")[0] for work in _inside(self.folder / "tmp")}
            return sorted(name for name in names if KEY.fullmatch(name))
        return []

    def get(self, spec: Spec) -> Record:
        """The run as it stands here, without trace and tensors.

        Raises:
            DamagedError: it is not here, or damaged; says the mend.
        """
        standing = self.judge(spec)
        if standing.record is None:
            raise DamagedError(standing.why or f"{self.place(spec)} is gone; run again.")
        return standing.record  # though a file may be lost, which `damaged_files` says once it is asked for

    def add(self, record: Record) -> bool:
        """Publish a record, in place of one that failed; False if another writer was first.

        Raises:
            PluginError: no reader would take it.
            DamagedError: what stands in its place cannot be read; names it and its mend. A good record waits in tmp/,
                and the next command puts it in its place once that is free.
            UnusableError: the folder cannot be written; nothing half-written stays behind.
        """
        key, files = record.spec.key, _files(record)
        name = f"{key}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        work, place = self.folder / "tmp" / name, self._at(key)
        try:
            if not (self.folder / MARKER_FILE).exists():
                self._make()  # moved or deleted since
            work.mkdir(parents=True)
            _write(work, files)
            if first := publish(work, place):
                with suppress(OSError):  # it is there: nothing may fail it any more
                    sync(place.parent)
            return first
        except DamagedError as error:
            raise DamagedError(f"{error}{self._waits(work, record)}") from error
        except OSError as error:
            raise UnusableError(
                f"Cannot write to {self.folder}: {reason(error, self.folder)}; nothing was lost."
            ) from error
        finally:
            for rest in (work, *work.parent.glob(f"{name}.*")):
                shutil.rmtree(rest, ignore_errors=True)

    def _waits(self, work: Path, record: Record) -> str:
        """Keep a good run for the next command; says so."""
        if record.status in RETRYABLE:
            return ""
        kept = work.with_name(f"{record.spec.key}.{WAITS}.{uuid.uuid4().hex[:8]}")
        with suppress(OSError):
            work.rename(kept)
            return f" What was just computed is kept in {kept}, and is put there then."
        return ""

    def standings(self) -> list[Standing]:
        """The state of everything that stands among the runs."""
        found = (judge(self.folder / "runs" / name) for name in sorted(self.fingerprints()))
        return [standing for standing in found if standing.state != "absent"]

    def trace(self, spec: Spec) -> pd.DataFrame | None:
        """A row a recorded step and member: step, start, instance, loss. None: damaged or missing, see `damaged_files`."""
        columns = {"step": int, "start": str, "instance": int, "loss": float}
        return self._whole(spec, "trace.csv", lambda content, run: _of_searches(_table(content, columns), run))

    def costs(self, spec: Spec) -> pd.DataFrame | None:
        """A row a recorded step: step, evaluations of a problem and seconds of the search up to then.

        None: damaged or missing, see `damaged_files`. Of a run of an older schema, by its trace.
        """
        if spec.key != digest(SCHEMA, asdict(spec)):
            return None if (trace := self.trace(spec)) is None else costs_of(trace)
        columns = {"step": int, "evaluations": int, "seconds": float}
        return self._whole(spec, "costs.csv", lambda content, _: _of_steps(_table(content, columns)))

    def tensors(self, spec: Spec) -> dict[str, Tensor] | None:
        """Final codes `z`, those at each threshold `z_met`, final images `decoded`, `targets` where there are some.

        None: damaged or missing, see `damaged_files`.
        """
        return self._whole(spec, "latents.safetensors", lambda content, run: _fitting(tensors_of(content)[0], run))

    def _whole(self, spec: Spec, name: str, parse: Callable[[bytes, Record], T]) -> T | None:
        """What a file of a run says; where it is not what the run's result names, None, and a line in `damaged_files`."""
        path = self.place(spec) / name
        try:
            content = safe_read.content(path)
            raw = safe_read.result(path.parent)
            if hashlib.sha256(content).hexdigest() != raw["sha256"][name]:
                raise ValueError("its content does not match its sha256")
            return parse(content, record_from(raw))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            done = f"its run is left out of what needs it; {MEND}"
            self.damaged_files[str(path)] = f"{path} is damaged ({why}), {done}"
            return None

    def _at(self, key: str) -> Path:
        return self.folder / "runs" / key[:2] / key

    def _check(self) -> None:
        try:
            version = safe_read.note(self.folder / MARKER_FILE)["format"]
            if type(version) is not int:
                raise ValueError(f"its format is {version!r}, no whole number")
        except FileNotFoundError as error:
            raise UnusableError(
                f"{self.folder} is no results folder (no {MARKER_FILE} in it); `lso-bench run` makes one."
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnusableError(f"{self.folder / MARKER_FILE} cannot be read ({error}).") from error
        if version > SCHEMA:
            raise UnusableError(f"{self.folder} has format {version}, newer than {SCHEMA}; update lso-bench.")

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / MARKER_FILE).exists():
                if foreign := sorted(p.name for p in self.folder.iterdir() if _is_foreign(p.name)):
                    raise UnusableError(
                        f"{self.folder} is no results folder and not empty ({foreign[0]}); give another --results."
                    )
                mark = self.folder / f"{MARKER_FILE}.{uuid.uuid4().hex[:8]}"
                mark.write_text(json.dumps({"format": SCHEMA}))
                sync(mark)
                mark.replace(self.folder / MARKER_FILE)
            (self.folder / "tmp").mkdir(exist_ok=True)
            if not os.access(self.folder / "tmp", os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise UnusableError(
                f"Cannot write to {self.folder}: {reason(error, self.folder)}; give another folder with --results."
            ) from error
        self._check()
        self._sweep()

    def _sweep(self) -> None:
        """Finish what killed writers began, and remove what is old; what lies elsewhere is not ours to remove."""
        if (self.folder / "tmp").is_symlink():
            return
        for work in (self.folder / "tmp").iterdir():
            key, _, rest = work.name.partition(".")
            waits = rest.startswith(WAITS)
            try:
                if KEY.fullmatch(key) and (waits or self._at(key).is_dir()):
                    recover(work, self._at(key))
                if not waits and time.time() - work.lstat().st_mtime > STALE:
                    shutil.rmtree(work, ignore_errors=True) if work.is_dir() else work.unlink()
            except OSError:
                pass  # another process swept it, or nobody may


def counted(standings: Iterable[Standing]) -> dict[str, int]:
    """How many have each status, and how many are damaged."""
    words = ("damaged" if s.record is None or s.state == "damaged" else s.record.status for s in standings)
    return dict(sorted(Counter(words).items()))


EXPECTED_NAMES = {
    MARKER_FILE,
    "runs",
    "tmp",
    "metrics",
    "pictures",
    "traversals",
    "reproduction",
    "studies",
    "reference",
    "README.md",
    "lost+found",  # of a fresh volume
}


def _is_foreign(name: str) -> bool:
    """Whether a file of this name says that the folder is meant for something else; hidden ones are the system's."""
    return not (name in EXPECTED_NAMES or name.startswith((MARKER_FILE, ".")))


def _inside(folder: Path | os.DirEntry) -> list[os.DirEntry]:
    """What a folder holds but for hidden files; nothing if it is none."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _runs_in(two: os.DirEntry) -> list[os.DirEntry]:
    """What a folder of runs holds; itself where it is none, or nobody may look into it."""
    try:
        return _inside(two) if two.is_dir() else [two]
    except OSError:  # no right to it, or a link to itself
        return [two]


def _stamp(run: str) -> str:
    try:
        found = os.stat(f"{run}/{RESULT}")
    except OSError as error:
        return str(error.strerror)
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_size}"


def _table(content: bytes, columns: dict[str, type]) -> pd.DataFrame:
    """The rows of a table in CSV with columns of these types.

    Raises:
        ValueError, KeyError: it has none, or others.
    """
    rows = pd.read_csv(io.BytesIO(content)).astype(columns)
    if rows.empty:
        raise ValueError("it has no rows")
    return rows


def _of_steps(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of costs.

    Raises:
        ValueError: two are of one step.
    """
    if not rows.step.is_unique:
        raise ValueError("a step stands twice")
    return rows


def _of_searches(rows: pd.DataFrame, run: Record) -> pd.DataFrame:
    """The rows of a trace.

    Raises:
        ValueError: they are of other searches than those of the run.
    """
    there, searches = {*zip(rows.start, rows.instance, strict=True)}, {(m.start, m.instance) for m in run.members}
    if odd := there ^ searches:
        start, instance = min(odd)
        word = "is none of the run's" if (start, instance) in there else "has no rows"
        raise ValueError(f"the search of instance {instance} from start {start!r} {word}")
    return rows


def _fitting(tensors: dict[str, Tensor], run: Record) -> dict[str, Tensor]:
    """Return the tensors of a run.

    Raises:
        ValueError: there are no codes, or something is not of every search; `targets`, of every instance.
    """
    if "z" not in tensors or tensors["z"].ndim != 2:
        raise ValueError("it has no codes z of shape (k, d)")
    sizes = {"targets": len({m.instance for m in run.members})}
    for name, x in tensors.items():
        if x.shape[:1] != (size := sizes.get(name, len(run.members)),):
            raise ValueError(f"wanted {name} of length {size}, got shape {tuple(x.shape)}")
    return tensors


def _files(record: Record) -> dict[str, bytes]:
    """The files of a run by name; of one that failed its result alone.

    Raises:
        PluginError: no reader would take the result.
    """
    files: dict[str, bytes] = {}
    if record.status not in RETRYABLE:
        for name, table in {"trace.csv": record.trace, "costs.csv": record.costs}.items():
            if table is not None:
                files[name] = table.to_csv(index=False, float_format="%.9g").encode()
        if record.tensors:
            files["latents.safetensors"] = save({k: t.contiguous() for k, t in record.tensors.items()})
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return files | {RESULT: _result(record, hashes)}


def _result(record: Record, hashes: dict[str, str]) -> bytes:
    """The text of a result, which was read back.

    Raises:
        PluginError: it is nothing that a reader takes.
    """
    try:
        text = json.dumps(_to_json(record, hashes), indent=1, allow_nan=False).encode()
        if len(text) > safe_read.LARGEST_RESULT:
            raise ValueError(f"larger than {safe_read.LARGEST_RESULT >> 20} MiB")
        if record_from(safe_read.parsed(text)).spec.key != record.spec.key:
            raise ValueError("its spec is another one when it is read")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise PluginError(f"what the run gave cannot be kept: {type(error).__name__}: {error}") from error
    return text


def _write(work: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (work / name).write_bytes(content)
    for path in (*(work / name for name in files), work):  # all written before the first is waited for: half the time
        sync(path)


def _to_json(record: Record, hashes: dict[str, str]) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in PLAIN}
    plain["error"] = None if record.error is None else storable(record.error)
    plain["versions"] = {k: storable(v) if isinstance(v, str) else v for k, v in record.versions.items()}
    members = [_finite(asdict(m)) for m in record.members]
    return {"schema": SCHEMA, "spec": asdict(record.spec), **_finite(plain), "members": members, "sha256": hashes}


def _finite(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
