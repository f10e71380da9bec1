"""Records on disk: one folder a run, which appears complete or not at all and is never changed afterwards.

A kill at any moment leaves no partial run. Of two writers of the same run the first wins, without locks: see
`lso_bench.store.run_folder`. Every result is read back before it is written, so that it can be read again.
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
from lso_bench.files.atomic_write import disk_error_reason
from lso_bench.files.sanitize import storable
from lso_bench.record import Record
from lso_bench.spec import SCHEMA, Spec, digest
from lso_bench.store import result_files
from lso_bench.store.old_schemas import costs_of
from lso_bench.store.run_folder import KEY, MEND, RESULT, RETRYABLE, Standing, judge, publish, read, recover, sync
from lso_bench.store.schema import PLAIN, record_from
from lso_bench.vae.tensors import tensors_of

MARKER_FILE = "lso-bench.json"  # file that marks a results folder
STALE = 24 * 3600  # seconds after which work in progress is swept
WAITING = "waits"  # in the name of a folder in tmp/ with a good run whose place was not free

T = TypeVar("T")


class Store:
    """The runs of one results folder.

    Args:
        folder: created if missing; a folder with unrelated files is refused.
        readonly: the folder must exist, and nothing is written.
    """

    def __init__(self, folder: Path, readonly: bool = False):
        self.folder = folder
        self.skipped: list[str] = []  # messages about unreadable results of the last iteration
        self.remarks: list[str] = []  # messages about what was rebuilt to read the folder
        self.damaged_files: dict[str, str] = {}  # a message by the path of each damaged file that was read
        if readonly:
            self._check()
        else:
            self._make()

    def __contains__(self, spec: Spec) -> bool:
        """Return whether a run is done; a failed run is not, and may be tried again."""
        return self.judge(spec).state == "done"

    def place(self, spec: Spec) -> Path:
        """Return the path of a run's folder, which need not exist."""
        return self._run_path(spec.key)

    def judge(self, spec: Spec) -> Standing:
        """Return the state of a run: absent, done, to be tried again, or damaged; with its record."""
        return judge(self.place(spec))

    def __iter__(self) -> Iterator[Record]:
        """Yield every run, without trace and tensors; unreadable results are listed in `skipped`."""
        self.skipped = []
        for name in sorted(self.fingerprints()):
            try:
                yield self.read(name)
            except ValueError as error:
                self.skipped.append(str(error))

    def fingerprints(self) -> dict[str, str]:
        """Return, for each entry `ab/abcdef0123456789` among the runs, a text that changes with its result."""
        runs = self.folder / "runs"
        paths = [e.path for prefix in _entries(runs) for e in _run_entries(prefix)]
        return {path[len(f"{runs}/") :]: _fingerprint(path) for path in paths}

    def read(self, name: str) -> Record:
        """Return the run with this name, without trace and tensors.

        Raises:
            ValueError: the run is unreadable; the message says where and why.
        """
        return read(self.folder / "runs" / name)

    def unfinished(self) -> list[str]:
        """Return the keys of runs in progress, and of interrupted runs."""
        with suppress(PermissionError):
            names = {work.name.partition(".")[0] for work in _entries(self.folder / "tmp")}
            return sorted(name for name in names if KEY.fullmatch(name))
        return []

    def get(self, spec: Spec) -> Record:
        """Return a stored run, without trace and tensors.

        Raises:
            DamagedError: the run is missing or damaged; the message says the remedy.
        """
        standing = self.judge(spec)
        if standing.record is None:
            raise DamagedError(standing.why or f"{self.place(spec)} is gone; run again.")
        return standing.record  # a file may be missing; reading it adds to `damaged_files`

    def add(self, record: Record) -> bool:
        """Publish a record; it replaces a failed one. Return False if another writer was first.

        Raises:
            PluginError: the record could not be read back.
            DamagedError: the result in its place cannot be read; the message says the remedy. A good record waits in
                tmp/, and the next command moves it to its place once that is free.
            UnusableError: the folder cannot be written; no partial files stay behind.
        """
        key, files = record.spec.key, _files(record)
        name = f"{key}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        work, place = self.folder / "tmp" / name, self._run_path(key)
        try:
            if not (self.folder / MARKER_FILE).exists():
                self._make()  # moved or deleted since
            work.mkdir(parents=True)
            _write(work, files)
            if is_first := publish(work, place):
                with suppress(OSError):  # the run is published: no error may undo that
                    sync(place.parent)
            return is_first
        except DamagedError as error:
            raise DamagedError(f"{error}{self._keep_waiting(work, record)}") from error
        except OSError as error:
            raise UnusableError(
                f"Cannot write to {self.folder}: {disk_error_reason(error, self.folder)}; nothing was lost."
            ) from error
        finally:
            for leftover in (work, *work.parent.glob(f"{name}.*")):
                shutil.rmtree(leftover, ignore_errors=True)

    def _keep_waiting(self, work: Path, record: Record) -> str:
        """Keep a good run for the next command; return a message about it."""
        if record.status in RETRYABLE:
            return ""
        waiting = work.with_name(f"{record.spec.key}.{WAITING}.{uuid.uuid4().hex[:8]}")
        with suppress(OSError):
            work.rename(waiting)
            return f" What was just computed is kept in {waiting}, and is put there then."
        return ""

    def standings(self) -> list[Standing]:
        """Return the state of every entry among the runs."""
        standings = (judge(self.folder / "runs" / name) for name in sorted(self.fingerprints()))
        return [standing for standing in standings if standing.state != "absent"]

    def trace(self, spec: Spec) -> pd.DataFrame | None:
        """Return a row per recorded step and member: step, start, instance, loss.

        None if the file is damaged or missing; see `damaged_files`.
        """
        columns = {"step": int, "start": str, "instance": int, "loss": float}
        return self._read_verified(spec, "trace.csv", lambda content, run: _check_trace(_table(content, columns), run))

    def costs(self, spec: Spec) -> pd.DataFrame | None:
        """Return a row per recorded step: step, evaluations of a problem and seconds of the search so far.

        None if the file is damaged or missing; see `damaged_files`. For older schemas the trace gives the costs.
        """
        if spec.key != digest(SCHEMA, asdict(spec)):
            return None if (trace := self.trace(spec)) is None else costs_of(trace)
        columns = {"step": int, "evaluations": int, "seconds": float}
        return self._read_verified(spec, "costs.csv", lambda content, _: _check_costs(_table(content, columns)))

    def tensors(self, spec: Spec) -> dict[str, Tensor] | None:
        """Return the tensors of a run by name.

        They are final latents `z`, latents at each threshold `z_met`, final images `decoded`, and `targets` if there
        are any. None if the file is damaged or missing; see `damaged_files`.
        """
        return self._read_verified(
            spec, "latents.safetensors", lambda content, run: _check_tensors(tensors_of(content)[0], run)
        )

    def _read_verified(self, spec: Spec, name: str, parse: Callable[[bytes, Record], T]) -> T | None:
        """Parse a file of a run; None, with a message in `damaged_files`, if its hash or content is wrong."""
        path = self.place(spec) / name
        try:
            content = result_files.content(path)
            raw = result_files.result(path.parent)
            if hashlib.sha256(content).hexdigest() != raw["sha256"][name]:
                raise ValueError("its content does not match its sha256")
            return parse(content, record_from(raw))
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            done = f"its run is left out of what needs it; {MEND}"
            self.damaged_files[str(path)] = f"{path} is damaged ({why}), {done}"
            return None

    def _run_path(self, key: str) -> Path:
        return self.folder / "runs" / key[:2] / key

    def _check(self) -> None:
        try:
            version = result_files.note(self.folder / MARKER_FILE)["format"]
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
                if unexpected := sorted(p.name for p in self.folder.iterdir() if _is_foreign(p.name)):
                    raise UnusableError(
                        f"{self.folder} is no results folder and not empty ({unexpected[0]}); give another --results."
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
                f"Cannot write to {self.folder}: {disk_error_reason(error, self.folder)}; "
                "give another folder with --results."
            ) from error
        self._check()
        self._sweep()

    def _sweep(self) -> None:
        """Publish waiting runs of killed writers, and delete old work in progress. A linked tmp/ is left alone."""
        if (self.folder / "tmp").is_symlink():
            return
        for work in (self.folder / "tmp").iterdir():
            key, _, suffix = work.name.partition(".")
            waits = suffix.startswith(WAITING)
            try:
                if KEY.fullmatch(key) and (waits or self._run_path(key).is_dir()):
                    recover(work, self._run_path(key))
                if not waits and time.time() - work.lstat().st_mtime > STALE:
                    shutil.rmtree(work, ignore_errors=True) if work.is_dir() else work.unlink()
            except OSError:
                pass  # swept by another process, or not permitted


def counted(standings: Iterable[Standing]) -> dict[str, int]:
    """Return the number of runs by status, and the number of damaged ones."""
    statuses = ("damaged" if s.record is None or s.state == "damaged" else s.record.status for s in standings)
    return dict(sorted(Counter(statuses).items()))


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
    "lost+found",  # in the root of a fresh volume
}


def _is_foreign(name: str) -> bool:
    """Return whether a file of this name shows that the folder has another purpose; hidden files do not count."""
    return not (name in EXPECTED_NAMES or name.startswith((MARKER_FILE, ".")))


def _entries(folder: Path | os.DirEntry) -> list[os.DirEntry]:
    """Return the entries of a folder except hidden files; empty if it is no folder."""
    try:
        with os.scandir(folder) as entries:
            return [e for e in entries if not e.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _run_entries(prefix: os.DirEntry) -> list[os.DirEntry]:
    """Return the entries of a folder of runs; the folder itself if it is no folder or cannot be read."""
    try:
        return _entries(prefix) if prefix.is_dir() else [prefix]
    except OSError:  # no permission, or a link to itself
        return [prefix]


def _fingerprint(run: str) -> str:
    try:
        stat = os.stat(f"{run}/{RESULT}")
    except OSError as error:
        return str(error.strerror)
    return f"{stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_size}"


def _table(content: bytes, columns: dict[str, type]) -> pd.DataFrame:
    """Parse a CSV table with columns of these types.

    Raises:
        ValueError, KeyError: the table has no rows or other columns.
    """
    rows = pd.read_csv(io.BytesIO(content)).astype(columns)
    if rows.empty:
        raise ValueError("it has no rows")
    return rows


def _check_costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a cost table.

    Raises:
        ValueError: a step has two rows.
    """
    if not rows.step.is_unique:
        raise ValueError("a step stands twice")
    return rows


def _check_trace(rows: pd.DataFrame, run: Record) -> pd.DataFrame:
    """Return the rows of a trace.

    Raises:
        ValueError: the searches differ from those of the run.
    """
    traced, searches = {*zip(rows.start, rows.instance, strict=True)}, {(m.start, m.instance) for m in run.members}
    if differing := traced ^ searches:
        start, instance = min(differing)
        reason = "is none of the run's" if (start, instance) in traced else "has no rows"
        raise ValueError(f"the search of instance {instance} from start {start!r} {reason}")
    return rows


def _check_tensors(tensors: dict[str, Tensor], run: Record) -> dict[str, Tensor]:
    """Return the tensors of a run.

    Raises:
        ValueError: there are no latents, or a tensor does not have one row per search (`targets`: per instance).
    """
    if "z" not in tensors or tensors["z"].ndim != 2:
        raise ValueError("it has no codes z of shape (k, d)")
    sizes = {"targets": len({m.instance for m in run.members})}
    for name, x in tensors.items():
        if x.shape[:1] != (size := sizes.get(name, len(run.members)),):
            raise ValueError(f"wanted {name} of length {size}, got shape {tuple(x.shape)}")
    return tensors


def _files(record: Record) -> dict[str, bytes]:
    """Return the files of a run by name; a failed run has only its result.

    Raises:
        PluginError: the result could not be read back.
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
    """Return the JSON text of a result, after reading it back.

    Raises:
        PluginError: the result could not be read back.
    """
    try:
        text = json.dumps(_to_json(record, hashes), indent=1, allow_nan=False).encode()
        if len(text) > result_files.LARGEST_RESULT:
            raise ValueError(f"larger than {result_files.LARGEST_RESULT >> 20} MiB")
        if record_from(result_files.parsed(text)).spec.key != record.spec.key:
            raise ValueError("its spec is another one when it is read")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise PluginError(f"what the run gave cannot be kept: {type(error).__name__}: {error}") from error
    return text


def _write(work: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (work / name).write_bytes(content)
    for path in (*(work / name for name in files), work):  # syncing after all writes takes half the time
        sync(path)


def _to_json(record: Record, hashes: dict[str, str]) -> dict[str, Any]:
    plain = {name: getattr(record, name) for name in PLAIN}
    plain["error"] = None if record.error is None else storable(record.error)
    plain["versions"] = {k: storable(v) if isinstance(v, str) else v for k, v in record.versions.items()}
    members = [_finite(asdict(m)) for m in record.members]
    return {"schema": SCHEMA, "spec": asdict(record.spec), **_finite(plain), "members": members, "sha256": hashes}


def _finite(value: Any) -> Any:
    """Replace NaN and infinity by None, because JSON has neither."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
