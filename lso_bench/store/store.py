"""Records on disk: one folder a run, which appears complete or not at all and is never changed afterwards.

A kill at any moment leaves no partial run. Of two writers of the same run the first wins, without locks: see
`lso_bench.store.run_folder`. Every result is read back before it is written, so that it can be read again.
"""

import hashlib
import os
import shutil
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pandas as pd
from torch import Tensor

from lso_bench.errors import DamagedError, UnusableError
from lso_bench.files.atomic_write import disk_error_reason
from lso_bench.record import Record
from lso_bench.spec import SCHEMA, Spec
from lso_bench.store import encoding, result_files, results_folder
from lso_bench.store.results_folder import MARKER_FILE, WAITING, run_path
from lso_bench.store.run_folder import MEND, RETRYABLE, Standing, judge, publish, read, sync
from lso_bench.store.schema import record_from

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
            results_folder.check(folder)
        else:
            results_folder.prepare(folder)

    def __contains__(self, spec: Spec) -> bool:
        """Return whether a run is done; a failed run is not, and may be tried again."""
        return self.judge(spec).state == "done"

    def place(self, spec: Spec) -> Path:
        """Return the path of a run's folder, which need not exist."""
        return run_path(self.folder, spec.key)

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
        return results_folder.fingerprints(self.folder)

    def read(self, name: str) -> Record:
        """Return the run with this name, without trace and tensors.

        Raises:
            ValueError: the run is unreadable; the message says where and why.
        """
        return read(self.folder / "runs" / name)

    def unfinished(self) -> list[str]:
        """Return the keys of runs in progress, and of interrupted runs."""
        return results_folder.unfinished(self.folder)

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
        key, files = record.spec.key, encoding.encode(record)
        name = f"{key}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        work, place = self.folder / "tmp" / name, run_path(self.folder, key)
        try:
            if not (self.folder / MARKER_FILE).exists():
                results_folder.prepare(self.folder)  # moved or deleted since
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
        return self._read_verified(spec, "trace.csv", encoding.parse_trace)

    def costs(self, spec: Spec) -> pd.DataFrame | None:
        """Return a row per recorded step: step, evaluations of a problem and seconds of the search so far.

        None if the file is damaged or missing; see `damaged_files`. For older schemas the trace gives the costs.
        """
        if self._schema(spec) != SCHEMA:
            return None if (trace := self.trace(spec)) is None else encoding.costs_of(trace)
        return self._read_verified(spec, "costs.csv", encoding.parse_costs)

    def tensors(self, spec: Spec) -> dict[str, Tensor] | None:
        """Return the tensors of a run by name.

        They are final latents `z`, latents at each threshold `z_met`, final samples `decoded`, and `targets` if there
        are any. A search in a space that is not `prior` has its coordinates `u` and `u_met` too; results of earlier
        versions lack them. Sequences are tokens (k, t), images levels 0..255. None if the file is damaged or missing;
        see `damaged_files`.
        """
        return self._read_verified(spec, "latents.safetensors", encoding.parse_tensors)

    def _schema(self, spec: Spec) -> object:
        """Return the schema of a run's result; the present one, if it cannot be read."""
        try:
            return result_files.result(self.place(spec))["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            return SCHEMA

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
            state = "missing" if isinstance(error, FileNotFoundError) else f"damaged ({why})"
            self.damaged_files[str(path)] = f"{path} is {state}, its run is left out of what needs it; {MEND}"
            return None


def counted(standings: Iterable[Standing]) -> dict[str, int]:
    """Return the number of runs by status, and the number of damaged ones."""
    statuses = ("damaged" if s.record is None or s.state == "damaged" else s.record.status for s in standings)
    return dict(sorted(Counter(statuses).items()))


def _write(work: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (work / name).write_bytes(content)
    for path in (*(work / name for name in files), work):  # syncing after all writes takes half the time
        sync(path)


def existing(folder: Path) -> Store | None:
    """Return the results folder to read from; None if there is none yet."""
    return Store(folder, readonly=True) if (folder / MARKER_FILE).exists() else None
